use super::Row;

const REFUSED: &str = "The request is refused.";

/// The codes of [`crate::Problem`] about who asks, and how.
pub(super) const PROBLEMS: &[Row] = &[
    [
        "access.unknown_caller",
        "The request carries no valid token.",
        REFUSED,
        "Send `Authorization: Bearer TOKEN`, or use sb-cli as root on a server.",
    ],
    [
        "access.scope",
        "The token is valid, and does not reach as far as this request.",
        REFUSED,
        "Use a token with the scope named, or sb-cli as root on a server.",
    ],
    [
        "access.user",
        "Only root and the agent's own user may use the socket.",
        REFUSED,
        "Use sudo sb-cli, or a token over TCP.",
    ],
    [
        "access.peer",
        "A server's certificate was used for a call of people.",
        REFUSED,
        "Use a token: a server's certificate is for the calls between servers only.",
    ],
    [
        "access.not_a_peer",
        "A call between servers came from somebody who is none.",
        REFUSED,
        "Nothing: these calls are the agents' own.",
    ],
    [
        "http.path",
        "There is nothing at this address.",
        REFUSED,
        "See the calls in docs/operations.md, or use sb-cli of the agent's version.",
    ],
    ["http.method", "This address does not take this method.", REFUSED, "Use sb-cli of the agent's version."],
    [
        "http.body",
        "The body of the request cannot be read as what this call takes.",
        REFUSED,
        "The detail names the place; unknown fields are refused on purpose.",
    ],
    [
        "http.query",
        "The query of the request cannot be read as what this call takes.",
        REFUSED,
        "The detail names the parameter.",
    ],
    [
        "http.timeout",
        "The agent did not come to an answer in time.",
        "What was begun may go on.",
        "Look with sb-cli status before asking again.",
    ],
];
