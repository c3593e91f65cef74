package org.demo;

/** What a provider serves. An answer in words begins with the label of the provider. */
public interface Greeter {
    /** {@code v1: hello NAME}. */
    String sayHello(String name);

    /** {@code v1: VALUE}: the attachment of that name as it reached the provider, or {@code null}. */
    String attachment(String name);

    /** {@code v1: slept}, after that time. IllegalArgumentException when it is negative. */
    String sleep(long milliseconds);

    /** Never answers. */
    String refuse(String why) throws Refusal;

    /** The same order, and the label among its notes. */
    Order order(Order order);

    /** The same bytes. */
    byte[] echo(byte[] bytes);
}
