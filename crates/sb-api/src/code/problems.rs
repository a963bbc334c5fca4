use super::Row;

const UNCHANGED: &str = "Nothing was changed.";

/// The codes of [`crate::Problem`] about the cluster.
pub(super) const PROBLEMS: &[Row] = &[
    [
        "switchover.refused",
        "A gate forbids this switchover; the answer lists every gate.",
        UNCHANGED,
        "Wait until the gate opens (sb-cli explain), or choose another server with --to.",
    ],
    [
        "failover.refused",
        "A gate forbids promoting this server by hand; the answer lists every gate.",
        UNCHANGED,
        "Choose the server that has everything, or accept the loss that the gate names: --accept-data-loss BYTES.",
    ],
    [
        "durability.refused",
        "A gate forbids this durability, for example too few servers to wait for.",
        UNCHANGED,
        "Bring servers back or ask for a smaller number.",
    ],
    [
        "durability.not_done",
        "Another durability was asked for before this one held.",
        "The later request counts.",
        "sb-cli status shows what holds now.",
    ],
    ["transfer.is_primary", "The server named is primary already.", UNCHANGED, "Nothing to do."],
    [
        "transfer.not_done",
        "The hand-over came to another end than the one asked for.",
        "Whoever holds the lease now is primary; the wish is withdrawn.",
        "sb-cli explain says what stood in the way; ask again.",
    ],
    [
        "pause.length",
        "A pause needs a length within the bounds: it always ends by itself.",
        UNCHANGED,
        "Give a length: sb-cli pause --for 2h.",
    ],
    ["resume.not_paused", "Automatic failover is not paused.", UNCHANGED, "Nothing to do."],
    [
        "store.rejected",
        "The cluster's record refused the request; the detail names the rule.",
        UNCHANGED,
        "sb-cli status shows what has changed since; ask again if it is still wanted.",
    ],
    [
        "store.ambiguous",
        "The store did not say in time whether it took the request.",
        "It may still be carried out.",
        "Look first: sb-cli status. To ask again safely add --expect-primary.",
    ],
    [
        "store.unavailable",
        "The store takes no requests at present, usually for want of a majority.",
        "Its servers keep trying to find a leader.",
        "Ask an agent on the side of the majority, or bring servers that vote back.",
    ],
    [
        "server.unknown",
        "No server of the topology has this name.",
        UNCHANGED,
        "sb-cli status names the servers.",
    ],
    [
        "operation.unknown",
        "No operation with this id is remembered by the agent asked.",
        UNCHANGED,
        "sb-cli ops lists those that are; ask the agent that was asked first.",
    ],
    [
        "explain.unknown",
        "There is no server, operation or code of this name.",
        UNCHANGED,
        "sb-cli status names the servers, sb-cli ops the operations, sb-cli events the codes.",
    ],
    [
        "explain.no_judgement",
        "No server that answers remembers how the succession in this term was judged.",
        "Each server keeps its newest judgements, also over a restart.",
        "sb-cli history lists the terms; the journals (journal.jsonl) of servers that do not answer now may have it.",
    ],
    [
        "join.other_cluster",
        "A server with another cluster's bundle asked to join.",
        "It is refused.",
        "Give that server its own bundle, made by the sb-cli init of this cluster.",
    ],
    [
        "join.unknown_server",
        "A server that the topology in force does not name asked to join.",
        "It is refused, and asks again.",
        "Add it to the topology, or switch it off.",
    ],
    [
        "join.incarnation",
        "The request to join carries no usable incarnation.",
        "It is refused.",
        "Use the same version of the agent on both servers.",
    ],
    [
        "join.not_yet",
        "The store could not take the server in now.",
        "The server asks again.",
        "Nothing, unless it lasts: bring a majority of the store back.",
    ],
    [
        "join.no_leader",
        "The store has no leader that could take a server in.",
        "The server asks again.",
        "Nothing, unless it lasts: bring a majority of the store back.",
    ],
    [
        "join.given_up",
        "A server that was declared lost when the store was recovered asked to join.",
        "It is refused, and asks again; its PostgreSQL takes no writes.",
        "When it may come back: sb-cli server rejoin SERVER. Otherwise switch it off.",
    ],
    [
        "join.older_store",
        "A server that knows of a recovered store asked a member of the old one to take it in.",
        "It is refused, and asks the others.",
        "Nothing, unless it lasts: then the recovered store cannot be reached; mend the network.",
    ],
    [
        "recover.etcd",
        "The store is etcd, so going on without its majority is etcd's affair.",
        "The agents leave etcd as it is.",
        "Bring a majority of etcd's members back on their data. docs/etcd.md says what a restored or forced etcd means.",
    ],
    [
        "recover.refused",
        "A gate of going on without the majority of the store is not passed.",
        "Nothing was changed.",
        "sb-cli recover --plan shows every gate and what to confirm; docs/operations.md has the steps.",
    ],
    [
        "recover.not_noted",
        "What a person decided could not be written to disk.",
        "Nothing was changed.",
        "See the agent's log for the disk's fault, mend it, and ask again.",
    ],
    [
        "recover.withdrawn",
        "A recovery that was asked for was not carried out: it had become wrong, or could not be.",
        "The store is as it was.",
        "sb-cli events says why; look again with sb-cli recover --plan.",
    ],
    [
        "rejoin.not_given_up",
        "The server was not declared lost, so there is nothing to take back.",
        "Nothing was changed.",
        "sb-cli explain SERVER says why it is not where you expect it.",
    ],
];
