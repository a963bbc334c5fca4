/// The same for every finding.
pub(super) const BY_ITSELF: &str = "As an error: the documents are not used, and nothing is changed. As a warning: they are used as they are.";

/// Code, meaning, what the operator should do: the findings of `sb-cli config validate`, which name file, place and
/// the nearest valid value.
pub(super) const FINDINGS: &[[&str; 3]] = &[
    [
        "file.missing",
        "A document that is needed is not in the directory.",
        "Write it, or begin with sb-cli init.",
    ],
    [
        "file.unreadable",
        "A document could not be read.",
        "See the permissions of the file and its directory.",
    ],
    [
        "json.too_long",
        "The document is longer than is read.",
        "Shorten it; nothing that is needed is that long.",
    ],
    ["json.encoding", "The document is not UTF-8.", "Save it as UTF-8."],
    ["json.syntax", "The document is not JSON.", "Mend the place named."],
    ["json.key.duplicate", "A key is given twice.", "Keep one of the two."],
    ["json.key.unknown", "A key that nobody reads.", "Mend its spelling, or take it out."],
    ["value.control_character", "A text holds a control character.", "Take it out."],
    ["value.range", "A number is outside its bounds.", "Use a value within the bounds named."],
    ["value.unknown", "A word is none of those that may stand here.", "Use one of the words named."],
    ["value.form", "A value does not have the form that it needs.", "Write it as the message shows."],
    ["value.type", "A value is of another kind of JSON than it has to be.", "Use the kind named."],
    ["value.missing", "A key that is needed is missing.", "Add it where the finding points."],
    ["value.empty", "A value is empty.", "Fill it in where the finding points."],
    ["site.form", "A site is not an object.", "Write it as an object with its keys."],
    ["site.name", "This text cannot name a site.", "Use lower-case letters, digits and `-`."],
    ["site.none_enabled", "No site is enabled.", "Set `\"enabled\": true` for at least the primary site."],
    [
        "site.no_servers",
        "A site has an empty list of servers.",
        "Leave `servers` out for one server with the site's own addresses.",
    ],
    ["site.primary.none", "No enabled site is the primary.", "Set `\"role\": \"primary\"` for one site."],
    ["site.primary.twice", "Two sites are primary.", "Leave the role `primary` to one of them."],
    [
        "site.primary.no_postgres",
        "No server of the primary site runs PostgreSQL.",
        "Take `\"postgres\": false` away from one of its servers.",
    ],
    [
        "site.mode.logical",
        "Logical replication is not built yet; the site is treated as `async`.",
        "Nothing, or choose `async` or `sync`.",
    ],
    [
        "site.mode.missing",
        "The primary site does not say what it is while another site is primary.",
        "Set `replicationMode`: `sync` if commits may wait for its servers then, else `async`.",
    ],
    [
        "site.address.foreign",
        "A site's own address is not that of one of its servers.",
        "Use the first server's address, or leave the key out.",
    ],
    ["site.subnet.overlap", "The networks of two sites overlap.", "Give each site a network of its own."],
    ["server.name", "This text cannot name a server.", "Use lower-case letters, digits and `-`."],
    ["server.name.twice", "Two servers have the same name.", "Rename one of them."],
    [
        "server.unreachable",
        "A server has no address that the others could call.",
        "Set `ip` or `endpoint`, unless it calls the others itself.",
    ],
    [
        "server.mesh_address.missing",
        "A server has no address in the mesh.",
        "Set `wireguardIp` to an address of its own.",
    ],
    [
        "server.mesh_address.kind",
        "A mesh address is not the address of one machine.",
        "Use an ordinary address.",
    ],
    [
        "server.mesh_address.public",
        "A mesh address is a public one, so PostgreSQL's port could be reached from outside.",
        "Use a private address.",
    ],
    [
        "server.mesh_address.outside",
        "A mesh address is outside its site's network.",
        "Use an address of the site's `subnet`, or mend the subnet.",
    ],
    ["servers.too_many", "There are more servers than a cluster may have.", "Take some out."],
    ["address.twice", "An address is used twice.", "Give each server its own."],
    ["endpoint.twice", "Two servers are called at the same endpoint.", "Give each its own port or address."],
    ["postgres.data_dir", "The data directory is not an absolute path.", "Write it from `/` on."],
    ["postgres.port.taken", "PostgreSQL's port is one that the agent uses.", "Choose another port."],
    [
        "database.host.public",
        "The application would reach the database at a public address.",
        "Let it connect to the proxy of its own server.",
    ],
    [
        "database.host.local_name",
        "The database's host is a name that is known inside one machine's containers only.",
        "Let the application connect to the proxy of its own server.",
    ],
    [
        "network.private_key.exposed",
        "A private key stands in a document that is meant to be shared.",
        "Put it into `.wireguard_private`, and make a new key: this one has been seen.",
    ],
    [
        "network.private_key.mode",
        "Others on this machine can use the private key.",
        "chmod 600 .wireguard_private.",
    ],
    [
        "wireguard.key.placeholder",
        "A public key is a placeholder or no key at all.",
        "Leave `publicKey` out: each server makes its own key.",
    ],
    ["wireguard.key.twice", "Two servers have the same public key.", "Make a key on each server."],
    [
        "wireguard.key.unknown",
        "This server's key is not that of any server in sites.json.",
        "Copy the key that this server made into its entry.",
    ],
    [
        "voters.none",
        "No server votes.",
        "Take `\"voter\": false` away from at least three servers at different sites.",
    ],
    [
        "voters.cannot_lose_one",
        "The loss of one voter takes the majority away.",
        "Let servers at three sites vote; one may be a witness without PostgreSQL.",
    ],
    [
        "voters.few_sites",
        "The loss of one site can take the majority away, so no server takes over by itself.",
        "Add a witness at another site.",
    ],
    [
        "voters.even",
        "The number of voters is even, so no server takes over by itself.",
        "Add a witness at another site, or take one vote away.",
    ],
    [
        "durability.nobody",
        "The durability asks for servers to wait for, and the primary site has too few.",
        "Set `\"replicationMode\": \"sync\"` for another site, or choose a smaller `n` or `async`.",
    ],
    [
        "durability.nobody_after_failover",
        "Once another site is primary it has too few servers to wait for.",
        "Set `\"replicationMode\": \"sync\"` for another site too.",
    ],
    [
        "policy.failover.not_custom",
        "A timing differs from its profile's.",
        "Set `\"profile\": \"custom\"`, or leave the timing out.",
    ],
    [
        "policy.failover.heartbeat",
        "The store's election timeout is too short for its heartbeat.",
        "Lengthen `electionMinMs` or shorten `heartbeatMs`.",
    ],
    [
        "policy.failover.election",
        "The longest election timeout is not longer than the shortest.",
        "Lengthen `electionMaxMs`.",
    ],
    [
        "policy.failover.fence_lead",
        "PostgreSQL could not be killed in the time before the lease ends.",
        "Lengthen `fenceLeadMs`.",
    ],
    [
        "policy.failover.lease",
        "The lease is too short to lose one renewal.",
        "Lengthen `leaseTtlMs` or shorten `renewMs`.",
    ],
    [
        "policy.failover.tight_lease",
        "The loss of the store's leader alone could outlast the lease.",
        "Lengthen `leaseTtlMs` to the value named, or shorten the election timeouts.",
    ],
    [
        "policy.store.no_effect",
        "A key of the store `etcd` is given, and the store is another.",
        "Set `\"kind\": \"etcd\"`, or leave the key out.",
    ],
    ["policy.store.certificate", "Certificate and key for etcd belong together.", "Give both, or neither."],
    ["policy.store.login", "User and password for etcd belong together.", "Give both, or neither."],
    [
        "policy.store.ca",
        "etcd is called over TLS and its certificates could not be checked.",
        "Set `caFile`.",
    ],
    [
        "policy.store.plain",
        "Some members of etcd are reached without TLS.",
        "Use https, unless the mesh protects the way to them.",
    ],
    [
        "policy.store.endpoints",
        "The number of etcd's endpoints is outside its bounds.",
        "Name every member of etcd.",
    ],
    [
        "policy.routing.twice",
        "An address of the proxy is given twice, and leads to one place only.",
        "Choose another port for one of the two.",
    ],
    [
        "policy.routing.addresses",
        "The proxy is asked to listen on more addresses than it can.",
        "Leave addresses out: one reaches every client of its network.",
    ],
    [
        "policy.routing.proxy_protocol",
        "PROXY headers are expected at an address that the proxy does not listen on.",
        "Name the address in `readWrite` or `readOnly` too.",
    ],
    [
        "policy.store.few_endpoints",
        "etcd is asked at fewer than three members, so their loss would fence the primary.",
        "Name every member of etcd.",
    ],
];
