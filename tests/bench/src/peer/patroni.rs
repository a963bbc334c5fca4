//! Patroni on the lab's servers: an etcd member at each site, Patroni and PostgreSQL on each server.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use nix::unistd::{Uid, User};
use sb_lab::host::{Directories, Host, Power};
use sb_lab::network::Network;
use sb_lab::options::{Durability, LabOptions, Profile};
use sb_lab::place::{Place, members};
use sb_lab::recorder::Access;
use sb_lab::unit::Program;
use serde_json::{Value, json};

use super::http::ask;
use crate::cluster::{Cluster, Note, Sight};
use crate::failover::Setting;

/// Until six servers are up for the first time.
const UP: Duration = Duration::from_secs(240);

/// Longest wait for a word of one server.
const WORD_LIMIT: Duration = Duration::from_secs(1);

/// Longest wait for a planned move: it is answered when it is done.
const SWITCHOVER_LIMIT: Duration = Duration::from_secs(60);

const REST_PORT: u16 = 8008;
const SQL_PORT: u16 = 5432;
const ETCD_PORT: u16 = 2379;
const ETCD_PEER_PORT: u16 = 2380;

/// Everybody's password: nobody else is in the lab.
const PASSWORD: &str = "measured";

/// Everybody may pass, nobody may list.
const PASSAGE_MODE: u32 = 0o711;

/// Six servers with Patroni. Dropping it ends them and removes their files.
pub struct Patroni {
    hosts: Vec<Host>,
    network: Network,
    root: PathBuf,
}

impl Patroni {
    /// Builds them and waits until all follow a primary.
    pub async fn up(root: &Path, name: &str, setting: Setting) -> anyhow::Result<Self> {
        let root = root.join(format!("patroni-{name}"));
        let network = Network::build(sb_lab::options::Mesh::Off)?;
        let host = |place: Place| -> anyhow::Result<Host> {
            let directories = Directories::under(&root, place);
            directories.create()?;
            open_to_postgres(&directories)?;
            let programs = programs(place, &directories, setting)?;
            Ok(Host::new(place, directories, network.namespace(place), network.links(), programs)?)
        };
        let hosts = Place::servers().map(host).collect::<anyhow::Result<Vec<_>>>()?;
        let patroni = Self { hosts, network, root };
        patroni.hosts.iter().for_each(Host::switch_on);
        patroni.whole(UP).await?;
        Ok(patroni)
    }

    /// What a server says of itself.
    async fn word(&self, place: Place) -> Option<Value> {
        if self.host(place).ok()?.power() != Power::On {
            return None;
        }
        let to = (place.address(), REST_PORT).into();
        let asking = move || async move { ask(to, "GET", "/patroni", "", WORD_LIMIT).await };
        let answered = self.network.namespace(Place::OFFICE).run_async(asking).await.ok()?.ok()?;
        Some(answered.body)
    }
}

impl Cluster for Patroni {
    fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn access(&self) -> Access {
        Access {
            port: SQL_PORT,
            database: "postgres".into(),
            username: "postgres".into(),
            password: PASSWORD.into(),
            authority: None,
            way: sb_lab::recorder::Way::Direct,
        }
    }

    async fn look(&self) -> Sight {
        let ask = |place| async move { (place, self.word(place).await) };
        see(&join_all(Place::servers().map(ask)).await)
    }

    async fn switchover(&self, from: Place, to: Place) -> anyhow::Result<()> {
        let body = json!({"leader": from.name(), "candidate": to.name()}).to_string();
        let address = (from.address(), REST_PORT).into();
        let asking =
            move || async move { ask(address, "POST", "/switchover", &body, SWITCHOVER_LIMIT).await };
        let answered = self.network.namespace(Place::OFFICE).run_async(asking).await??;
        ensure!(answered.status == 200, "Patroni refused the switchover: {}", answered.status);
        Ok(())
    }

    async fn notes(&self, _since: jiff::Timestamp) -> Vec<Note> {
        Vec::new()
    }

    fn keep_logs(&self, story: &str) -> anyhow::Result<PathBuf> {
        let kept = LabOptions::default().logs.join(format!("bench-patroni-{story}-{}", std::process::id()));
        for host in &self.hosts {
            let to = kept.join(host.place().name());
            fs::create_dir_all(&to)?;
            for entry in fs::read_dir(&host.directories().log)? {
                let from = entry?.path();
                fs::copy(&from, to.join(from.file_name().unwrap_or_default()))?;
            }
        }
        Ok(kept)
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        let cleared =
            self.hosts.iter().try_for_each(Host::lose_power).and_then(|()| fs::remove_dir_all(&self.root));
        if let Err(error) = cleared {
            eprintln!("the peer's servers were not cleared away: {error}");
        }
    }
}

/// The cluster by what each server says of itself: whole when all others run as its replicas and the primary sends
/// to each of them.
fn see(words: &[(Place, Option<Value>)]) -> Sight {
    let field =
        |word: &Option<Value>, name: &str| word.as_ref().map(|word| word[name].clone()).unwrap_or_default();
    let leads = |word: &Option<Value>| {
        // `master` until 3.0, `primary` later.
        ["master", "primary"].map(Value::from).contains(&field(word, "role"))
            && field(word, "state") == "running"
    };
    let primary = words.iter().filter(|(_, word)| leads(word)).max_by_key(|(_, word)| timeline(word));
    let streams = |place: Place| {
        let sent = primary.map(|(_, word)| field(word, "replication")).unwrap_or_default();
        let to_it = |sent: &Value| sent["application_name"] == place.name() && sent["state"] == "streaming";
        sent.as_array().is_some_and(|sent| sent.iter().any(to_it))
    };
    let follows = |(place, word): &(Place, Option<Value>)| {
        field(word, "state") == "running" && streams(*place) && !leads(word)
    };
    let is_primary = |place: Place| primary.is_some_and(|(primary, _)| *primary == place);
    let line = |(place, word): &(Place, Option<Value>)| {
        format!("{place}: {} {} {:?}", field(word, "role"), field(word, "state"), timeline(word))
    };
    Sight {
        primary: primary.map(|(place, _)| *place),
        term: primary.and_then(|(_, word)| timeline(word)),
        whole: primary.is_some() && words.iter().all(|it| is_primary(it.0) || follows(it)),
        lines: words.iter().map(line).collect(),
    }
}

fn timeline(word: &Option<Value>) -> Option<u64> {
    word.as_ref().and_then(|word| word["timeline"].as_u64())
}

/// The first server of each site has a member of the store.
fn stores() -> impl Iterator<Item = Place> {
    Place::servers().filter(|place| members(place.site()).first() == Some(place))
}

fn programs(place: Place, directories: &Directories, setting: Setting) -> anyhow::Result<Vec<Program>> {
    let configuration = directories.config.join("patroni.yml");
    // JSON is YAML.
    fs::write(&configuration, serde_json::to_vec_pretty(&document(place, directories, setting)?)?)?;
    let program = |name: &str, path: &str, arguments: Vec<String>| {
        let (path, arguments) = as_postgres(path, arguments);
        Program {
            name: name.to_owned(),
            path,
            arguments,
            environment: Vec::new(),
            log: directories.log.join(format!("{name}.log")),
            brake: None,
        }
    };
    let mut programs = Vec::new();
    if stores().any(|store| store == place) {
        programs.push(program("etcd", "/usr/bin/etcd", etcd_arguments(place, directories)));
    }
    programs.push(program("patroni", "/usr/bin/patroni", vec![configuration.display().to_string()]));
    Ok(programs)
}

/// PostgreSQL does not run as root.
fn as_postgres(path: &str, arguments: Vec<String>) -> (PathBuf, Vec<String>) {
    if !Uid::effective().is_root() {
        return (path.into(), arguments);
    }
    let words = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--", path].map(str::to_owned);
    ("/usr/bin/setpriv".into(), words.into_iter().chain(arguments).collect())
}

fn open_to_postgres(directories: &Directories) -> anyhow::Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let user = User::from_name("postgres")?.context("there is no user `postgres`")?;
    let home = directories.state.parent().unwrap_or(&directories.state);
    for passage in home.ancestors().take_while(|path| path.parent().is_some()) {
        fs::set_permissions(passage, fs::Permissions::from_mode(PASSAGE_MODE))?;
    }
    for own in [&directories.config, &directories.state, &directories.run] {
        chown(own, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    Ok(())
}

fn etcd_arguments(place: Place, directories: &Directories) -> Vec<String> {
    let url = |place: Place, port: u16| format!("http://{}:{port}", place.address());
    let cluster: Vec<_> =
        stores().map(|store| format!("{}={}", store.name(), url(store, ETCD_PEER_PORT))).collect();
    let (client, peer) = (url(place, ETCD_PORT), url(place, ETCD_PEER_PORT));
    let data = directories.state.join("etcd").display().to_string();
    [
        ("--name", place.name().to_owned()),
        ("--data-dir", data),
        ("--listen-client-urls", client.clone()),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer.clone()),
        ("--initial-advertise-peer-urls", peer),
        ("--initial-cluster", cluster.join(",")),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

/// Default timings, and the quickest that Patroni's own checks allow: `ttl` from 20, `loop_wait` from 1,
/// `retry_timeout` from 3 seconds, and `loop_wait + 2 * retry_timeout` at most `ttl`.
fn timings(policy: Profile) -> (u64, u64, u64) {
    match policy {
        Profile::Default => (30, 10, 10),
        Profile::Fast => (20, 1, 3),
    }
}

fn document(place: Place, directories: &Directories, setting: Setting) -> anyhow::Result<Value> {
    let (ttl, loop_wait, retry_timeout) = timings(setting.policy);
    let synchronous = setting.durability != Durability::Async;
    let strict = setting.durability == Durability::Strict;
    let address = place.address();
    let stores: Vec<_> = stores().map(|store| format!("{}:{ETCD_PORT}", store.address())).collect();
    Ok(json!({
        "scope": "bench",
        "name": place.name(),
        "restapi": {"listen": format!("{address}:{REST_PORT}"), "connect_address": format!("{address}:{REST_PORT}")},
        "etcd3": {"hosts": stores},
        "bootstrap": {
            "dcs": {
                "ttl": ttl,
                "loop_wait": loop_wait,
                "retry_timeout": retry_timeout,
                "synchronous_mode": synchronous,
                "synchronous_mode_strict": strict,
                "postgresql": {
                    "use_pg_rewind": true,
                    "use_slots": true,
                    "parameters": {"wal_keep_size": "256MB", "max_connections": 50, "shared_buffers": "32MB"},
                },
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
        },
        "postgresql": {
            "listen": format!("{address}:{SQL_PORT}"),
            "connect_address": format!("{address}:{SQL_PORT}"),
            "bin_dir": newest_postgresql()?,
            "data_dir": directories.state.join("pgdata"),
            "pgpass": directories.run.join("pgpass"),
            "parameters": {"unix_socket_directories": directories.run},
            "pg_hba": [
                "local all all trust",
                "host replication replicator 10.0.0.0/16 scram-sha-256",
                "host all all 10.0.0.0/16 scram-sha-256",
            ],
            "authentication": {
                "superuser": {"username": "postgres", "password": PASSWORD},
                "replication": {"username": "replicator", "password": PASSWORD},
                "rewind": {"username": "rewinder", "password": PASSWORD},
            },
        },
        "watchdog": {"mode": "off"},
    }))
}

/// The programs of the newest major version that is installed.
pub fn newest_postgresql() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")?.filter_map(|entry| {
        let entry = entry.ok()?;
        let major: u32 = entry.file_name().to_str()?.parse().ok()?;
        let programs = entry.path().join("bin");
        programs.join("postgres").is_file().then_some((major, programs))
    });
    Ok(versions.max().context("PostgreSQL is not installed")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(replicas_streaming: usize) -> Vec<(Place, Option<Value>)> {
        let names: Vec<_> = Place::servers().collect();
        let sent: Vec<_> = names[1..=replicas_streaming]
            .iter()
            .map(|place| json!({"application_name": place.name(), "state": "streaming"}))
            .collect();
        let primary = json!({"role": "master", "state": "running", "timeline": 3, "replication": sent});
        let replica = json!({"role": "replica", "state": "running", "timeline": 3});
        let word = |(index, place): (usize, &Place)| {
            (*place, Some(if index == 0 { primary.clone() } else { replica.clone() }))
        };
        names.iter().enumerate().map(word).collect()
    }

    #[test]
    fn it_is_whole_when_the_primary_sends_to_every_other() {
        let whole = see(&words(5));
        assert!(whole.whole && whole.primary == Place::servers().next() && whole.term == Some(3));
        assert!(!see(&words(4)).whole);
    }

    #[test]
    fn a_server_that_says_nothing_is_missing() {
        let mut words = words(5);
        words[0].1 = None;
        assert_eq!((see(&words).primary, see(&words).whole), (None, false));
    }

    #[test]
    fn of_two_that_call_themselves_primary_the_newer_timeline_counts() {
        let mut words = words(5);
        words[2].1 = Some(json!({"role": "master", "state": "running", "timeline": 4}));
        assert_eq!(see(&words).primary, Some(words[2].0));
    }

    #[test]
    fn both_timings_keep_to_patronis_own_rule() {
        for policy in [Profile::Default, Profile::Fast] {
            let (ttl, loop_wait, retry_timeout) = timings(policy);
            assert!(loop_wait + 2 * retry_timeout <= ttl);
        }
    }
}
