package org.demo;

/** An exception that the interface declares, with a field of its own that has to travel as well. */
public class Refusal extends Exception {
    private static final long serialVersionUID = 1;
    private final String by;

    public Refusal(String why, String by) {
        super(why);
        this.by = by;
    }

    @Override
    public String getMessage() {
        return by + ": " + super.getMessage();
    }
}
