use super::Row;

const UNCHANGED: &str = "Nothing was changed.";

/// The kinds of [`crate::Event`] about preshared keys.
pub(super) const EVENTS: &[Row] = &[
    [
        "mesh.preshared.begun",
        "The preshared key of a pair of servers is being replaced, or made for the first time.",
        "Both ends hold the new one before either uses it, and forget the old one when a handshake has proven the new one; sessions go on.",
        "Nothing to do; sb-cli net status shows how far it is.",
    ],
    [
        "mesh.preshared.renewed",
        "The two servers of a pair do not hold the same preshared key: one of them has lost its own.",
        "They get a new one by themselves, over a way that is encrypted between these two.",
        "Nothing to do; see which server was restored from an older copy or has lost files.",
    ],
    [
        "mesh.preshared.done",
        "Two servers have shaken hands with their new preshared key.",
        "The old one is forgotten.",
        "Nothing to do.",
    ],
    [
        "mesh.preshared.turned_back",
        "A new preshared key brought no handshake within 180 s.",
        "The pair uses what it shared before, and the new key is forgotten.",
        "See whether the direct path of the two is up (sb-cli net matrix), and ask again.",
    ],
    [
        "mesh.preshared.withdrawn",
        "A new preshared key was given up before it was in force.",
        "The pair uses what it shared before.",
        "Nothing to do.",
    ],
    [
        "mesh.preshared.forgotten",
        "A person had this server forget the preshared key that it shared with another one.",
        "The next session of the two is made without one. When the other still has it, they get a new one as soon as they reach each other by any way.",
        "Once the two talk: sb-cli net rotate-preshared.",
    ],
    [
        "mesh.preshared.stalled",
        "A step of a preshared key cannot be written to disk.",
        "It is tried again, and the pair uses the key that it has.",
        "The detail names the file; give the agent room on the disk and the right to write it.",
    ],
    [
        "mesh.preshared.lost",
        "The file with this server's preshared keys cannot be used.",
        "Servers with which it shared one do not hear it directly. It gets new ones from those that it reaches through a third server.",
        "When it reaches nobody: sb-cli net rotate-preshared --forget SERVER on any one of the others, and on SERVER for that one where it came back with old keys; docs/mesh.md says why that is enough.",
    ],
];

/// The codes of [`crate::Problem`] about them.
pub(super) const PROBLEMS: &[Row] = &[
    [
        "mesh.preshared.refused",
        "A gate forbids replacing preshared keys now; the answer lists every gate.",
        UNCHANGED,
        "Wait until the gate opens, and ask again.",
    ],
    [
        "mesh.preshared.unknown",
        "The topology has no such server, or no such pair.",
        UNCHANGED,
        "sb-cli status lists the servers.",
    ],
    [
        "mesh.preshared.not_the_maker",
        "Of a pair, the server that is first by name makes the preshared keys, and nobody else's are taken.",
        UNCHANGED,
        "Nothing to do where all agents have the same version and topology; otherwise bring them to one.",
    ],
    [
        "mesh.preshared.away",
        "The server that makes the preshared keys of some of the pairs does not answer.",
        "Pairs of other servers that were begun before it was asked go on.",
        "Ask again when it is back, or name the pairs of others: sb-cli net rotate-preshared SERVER WITH.",
    ],
    [
        "mesh.preshared.none",
        "No new preshared key is on its way that could be given up.",
        "Those that are in force already end by themselves, one way or the other.",
        "Nothing to do.",
    ],
    [
        "mesh.preshared.unusable",
        "What another agent said of a preshared key cannot be read.",
        UNCHANGED,
        "Bring both agents to one version.",
    ],
    [
        "mesh.preshared.files",
        "The file with this server's preshared keys cannot be written.",
        UNCHANGED,
        "Let the agent's user write /etc/show-build, and ask again.",
    ],
    [
        "mesh.preshared.not_done",
        "Some pairs keep the preshared key that they had, or none.",
        "Their packets go on; the detail names them.",
        "sb-cli events on the first server of each pair says why; ask again.",
    ],
];
