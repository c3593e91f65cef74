package org.demo;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.rpc.RpcContext;
import org.apache.dubbo.rpc.RpcException;

/**
 * Makes the calls that it is told to make: {@code Consumer PORT} connects there and reads orders.
 *
 * <p>A line, either way, is a form: {@code name=value&...} with percent-encoding. An order has {@code
 * id, url, group, version, method, argument, count, threads} and attachments, each as {@code @NAME}.
 * Every call is told by a line with {@code id, ms} and either {@code answer} or {@code error, text}
 * and perhaps {@code code}; the end of an order by one with {@code id} alone. When the connection
 * closes, the program ends.
 */
public final class Consumer {
    private final Map<String, Greeter> greeters = new ConcurrentHashMap<>();
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final OutputStream out;

    private Consumer(OutputStream out) {
        this.out = out;
    }

    public static void main(String[] arguments) throws IOException {
        // Whatever Dubbo asks of Java, it asks for it here: if it must fail, then before we connect.
        new ReferenceConfig<Greeter>();
        InetAddress loopback = InetAddress.getByAddress(new byte[] {127, 0, 0, 1});
        try (Socket socket = new Socket(loopback, Integer.parseInt(arguments[0]))) {
            socket.setTcpNoDelay(true);
            Consumer consumer = new Consumer(socket.getOutputStream());
            BufferedReader in = new BufferedReader(
                new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                consumer.obey(read(line));
            }
        }
        // Threads of ours may still wait for answers, and nobody reads what they would say.
        Runtime.getRuntime().halt(0);
    }

    private void obey(Map<String, String> order) {
        AtomicInteger left = new AtomicInteger(Integer.parseInt(order.get("count")));
        AtomicInteger atWork = new AtomicInteger(Integer.parseInt(order.get("threads")));
        for (int thread = atWork.get(); thread > 0; thread--) {
            threads.execute(() -> {
                while (left.getAndDecrement() > 0) {
                    say(called(order));
                }
                if (atWork.decrementAndGet() == 0) {
                    say(Map.of("id", order.get("id")));
                }
            });
        }
    }

    private Map<String, String> called(Map<String, String> order) {
        Map<String, String> outcome = new HashMap<>();
        outcome.put("id", order.get("id"));
        long began = System.nanoTime();
        try {
            Greeter greeter = greeter(order);
            began = System.nanoTime();
            attach(order);
            outcome.put("answer", answer(greeter, order.get("method"), order.get("argument")));
        } catch (Throwable failure) {
            outcome.put("error", failure.getClass().getSimpleName());
            outcome.put("text", String.valueOf(failure.getMessage()));
            if (failure instanceof RpcException) {
                outcome.put("code", String.valueOf(((RpcException) failure).getCode()));
            }
        }
        outcome.put("ms", String.valueOf((System.nanoTime() - began) / 1e6));
        return outcome;
    }

    /** All orders for one address share one connection: that is Dubbo's own way. */
    private Greeter greeter(Map<String, String> order) {
        String group = order.get("group"), version = order.get("version"), url = order.get("url");
        return greeters.computeIfAbsent(group + "/" + version + "@" + url, key -> {
            ReferenceConfig<Greeter> reference = new ReferenceConfig<>();
            reference.setApplication(new ApplicationConfig("consumer"));
            reference.setRegistry(new RegistryConfig("N/A"));
            reference.setInterface(Greeter.class);
            reference.setUrl(url);
            reference.setGroup(Provider.given(group));
            reference.setVersion(Provider.given(version));
            reference.setCheck(false);
            return reference.get();
        });
    }

    /** For the next call of this thread only; Dubbo 2.7 would keep those of an earlier one. */
    private static void attach(Map<String, String> order) {
        RpcContext.getContext().clearAttachments();
        order.forEach((name, value) -> {
            if (name.startsWith("@")) {
                RpcContext.getContext().setAttachment(name.substring(1), value);
            }
        });
    }

    private static String answer(Greeter greeter, String method, String argument) throws Refusal {
        switch (method) {
            case "sayHello":
                return greeter.sayHello(argument);
            case "attachment":
                return greeter.attachment(argument);
            case "sleep":
                return greeter.sleep(Long.parseLong(argument));
            case "refuse":
                return greeter.refuse(argument);
            case "order":
                return same(Order.sample(), greeter.order(Order.sample()));
            case "echo":
                byte[] sent = bytes(Integer.parseInt(argument));
                return same(sent, greeter.echo(sent));
            default:
                throw new IllegalArgumentException("Greeter has no " + method);
        }
    }

    private static String same(Order sent, Order back) {
        if (!sent.described().equals(back.described())) {
            throw new IllegalStateException(back.described() + " came for " + sent.described());
        }
        return String.join(",", back.notes) + ": the same order";
    }

    private static String same(byte[] sent, byte[] back) {
        if (!Arrays.equals(sent, back)) {
            throw new IllegalStateException("other bytes came back");
        }
        return back.length + " bytes, the same";
    }

    private static byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        new Random(count).nextBytes(bytes);
        return bytes;
    }

    private static Map<String, String> read(String line) {
        Map<String, String> form = new HashMap<>();
        for (String pair : line.split("&")) {
            String[] both = pair.split("=", 2);
            form.put(
                URLDecoder.decode(both[0], StandardCharsets.UTF_8),
                URLDecoder.decode(both[1], StandardCharsets.UTF_8));
        }
        return form;
    }

    private void say(Map<String, String> form) {
        StringBuilder line = new StringBuilder();
        form.forEach((name, value) -> line.append(line.length() == 0 ? "" : "&")
            .append(name).append('=').append(URLEncoder.encode(value, StandardCharsets.UTF_8)));
        byte[] bytes = line.append('\n').toString().getBytes(StandardCharsets.UTF_8);
        synchronized (out) {
            try {
                out.write(bytes);
            } catch (IOException gone) {
                throw new UncheckedIOException(gone);
            }
        }
    }
}
