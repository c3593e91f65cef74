package org.demo;

import java.io.Serializable;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** An object graph: nested, with a cycle, nulls, and types that a serialization treats apart. */
public class Order implements Serializable {
    private static final long serialVersionUID = 1;

    public enum State { PLACED, PAID }

    /** A line of an order that knows its order: the cycle. */
    public static class Line implements Serializable {
        private static final long serialVersionUID = 1;
        public Order of;
        public String article;
        public BigDecimal price;
    }

    public long number;
    public State state;
    public Date placed;
    public String customer;
    public List<Line> lines = new ArrayList<>();
    public Map<String, List<Integer>> stock = new HashMap<>();
    public List<String> notes = new ArrayList<>();

    public static Order sample() {
        Order order = new Order();
        order.number = Long.MAX_VALUE;
        order.state = State.PAID;
        order.placed = new Date(1_700_000_000_123L);
        order.stock.put("gr\u00fcn", new ArrayList<>(List.of(1, 2, 3)));
        for (String price : new String[] {"0.10", "12345678901234567890.123"}) {
            Line line = new Line();
            line.of = order;
            line.article = "article \ud83d\ude00 at " + price;
            line.price = new BigDecimal(price);
            order.lines.add(line);
        }
        return order;
    }

    /** All but the notes as text, a line's way back by whether it leads here. */
    public String described() {
        StringBuilder text = new StringBuilder();
        text.append(number).append(state).append(placed.getTime()).append(customer).append(stock);
        for (Line line : lines) {
            text.append(line.of == this).append(line.article).append(line.price);
        }
        return text.toString();
    }
}
