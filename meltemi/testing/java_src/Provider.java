package org.demo;

import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.rpc.RpcContext;

/**
 * Serves a Greeter until it is ended: {@code Provider LABEL HOST PORT (GROUP VERSION)...}, once under
 * each group and version; either may be empty.
 */
public final class Provider implements Greeter {
    private final String label;

    private Provider(String label) {
        this.label = label;
    }

    public static void main(String[] arguments) throws InterruptedException {
        Provider provider = new Provider(arguments[0]);
        ProtocolConfig protocol = new ProtocolConfig("dubbo", Integer.parseInt(arguments[2]));
        protocol.setHost(arguments[1]);
        for (int next = 3; next < arguments.length; next += 2) {
            provider.export(protocol, given(arguments[next]), given(arguments[next + 1]));
        }
        Thread.currentThread().join();
    }

    private void export(ProtocolConfig protocol, String group, String version) {
        ServiceConfig<Greeter> service = new ServiceConfig<>();
        service.setApplication(new ApplicationConfig("provider"));
        service.setRegistry(new RegistryConfig("N/A"));
        service.setProtocol(protocol);
        service.setInterface(Greeter.class);
        service.setRef(this);
        service.setGroup(group);
        service.setVersion(version);
        service.export();
    }

    /** Dubbo takes an empty group or version for one that is called so. */
    static String given(String text) {
        return text.isEmpty() ? null : text;
    }

    @Override
    public String sayHello(String name) {
        return answer("hello " + name);
    }

    @Override
    public String attachment(String name) {
        return answer(RpcContext.getContext().getAttachment(name));
    }

    @Override
    public String sleep(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
        return answer("slept");
    }

    @Override
    public String refuse(String why) throws Refusal {
        throw new Refusal(why, label);
    }

    @Override
    public Order order(Order order) {
        order.notes.add(label);
        return order;
    }

    @Override
    public byte[] echo(byte[] bytes) {
        return bytes;
    }

    private String answer(String text) {
        return label + ": " + text;
    }
}
