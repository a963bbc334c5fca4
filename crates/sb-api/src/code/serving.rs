use super::Row;

const NOTHING: &str = "Nothing: it needs nobody.";

/// The kinds of [`crate::Event`] about the ports that clients and load balancers use.
pub(super) const EVENTS: &[Row] = &[
    [
        "port.refused",
        "A port that load balancers ask cannot be had: most often another program listens there.",
        "Load balancers take this server for down; the database is not concerned. The port is tried again every 5 seconds.",
        "End the other program, or let it listen elsewhere: ss -ltnp names it.",
    ],
    [
        "port.open",
        "A port that load balancers ask is there after all.",
        "Load balancers are answered.",
        NOTHING,
    ],
    [
        "proxy.not_listening",
        "The proxy cannot listen on one of its addresses, mostly because another program does.",
        "It tries again every two seconds; its other addresses work.",
        "Find the program (ss -ltnp) and end it, or choose another address in `routing` of policy.json.",
    ],
    [
        "proxy.listening",
        "The proxy listens on an address that it could not have before.",
        "Clients are served there.",
        NOTHING,
    ],
];
