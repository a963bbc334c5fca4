//! `dsn`: what applications are told.

use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

use crate::agent::{program, shown};

/// Three sites, of which the first has a server with a port of its own.
fn documents(place: &Path) {
    let sites = r#"{
        "ravena": {"ip": "192.0.2.1", "wireguardIp": "10.0.1.1", "enabled": true, "role": "primary", "servers": [
            {"name": "ravena-1", "ip": "192.0.2.1", "wireguardIp": "10.0.1.1", "postgres": {"port": 5433}}]},
        "burlington": {"ip": "192.0.2.2", "wireguardIp": "10.0.2.1", "enabled": true},
        "alpine": {"ip": "192.0.2.3", "wireguardIp": "10.0.3.1", "enabled": true, "servers": [
            {"name": "alpine-1", "ip": "192.0.2.3", "wireguardIp": "10.0.3.1", "postgres": false}]}
    }"#;
    let database = r#"{"host": "127.0.0.1", "port": 6432, "database": "on air", "username": "show@build",
        "password": "secret", "ssl": true}"#;
    std::fs::write(place.join("sites.json"), sites).unwrap();
    std::fs::write(place.join("database.json"), database).unwrap();
}

fn dsn(place: &Path, arguments: &[&str]) -> String {
    let mut command = program();
    command.args(["dsn", "--config"]).arg(place).args(arguments);
    shown(&mut command, place)
}

#[test]
fn a_connection_string_names_every_server_with_data_the_primary_site_first_and_no_password() {
    let place = tempfile::TempDir::new().unwrap();
    documents(place.path());
    assert_snapshot!(dsn(place.path(), &[]), @r"
    exit: 0
    stdout:
    postgresql://show%40build@10.0.1.1:5433,10.0.2.1:5432/on%20air?target_session_attrs=read-write&connect_timeout=3&keepalives_idle=5&keepalives_interval=2&keepalives_count=3&tcp_user_timeout=11000&sslmode=require
    ");
    assert_snapshot!(dsn(place.path(), &["--role", "ro", "--root-cert", "/etc/ssl/show build.pem"]), @r"
    exit: 0
    stdout:
    postgresql://show%40build@10.0.1.1:5433,10.0.2.1:5432/on%20air?target_session_attrs=prefer-standby&connect_timeout=3&keepalives_idle=5&keepalives_interval=2&keepalives_count=3&tcp_user_timeout=11000&sslmode=verify-full&sslrootcert=%2Fetc%2Fssl%2Fshow%20build.pem
    ");
    assert_snapshot!(dsn(place.path(), &["--format", "jdbc"]), @r"
    exit: 0
    stdout:
    jdbc:postgresql://10.0.1.1:5433,10.0.2.1:5432/on%20air?targetServerType=primary&connectTimeout=3&tcpKeepAlive=true&hostRecheckSeconds=1&user=show%40build&sslmode=require
    ");
    assert_snapshot!(dsn(place.path(), &["--format", "sqlx", "--role", "ro"]), @r"
    exit: 0
    stdout:
    postgresql://show%40build@127.0.0.1:6433/on%20air?sslmode=require
    ");
    assert_snapshot!(dsn(place.path(), &["--format", "env", "--root-cert", "/etc/ssl/show build.pem"]), @r"
    exit: 0
    stdout:
    PGHOST=10.0.1.1,10.0.2.1
    PGPORT=5433,5432
    PGDATABASE='on air'
    PGUSER='show@build'
    PGTARGETSESSIONATTRS=read-write
    PGCONNECT_TIMEOUT=3
    PGSSLMODE=verify-full
    PGSSLROOTCERT='/etc/ssl/show build.pem'
    ");
}

#[test]
fn whoever_asks_for_a_proof_gets_one_or_is_told() {
    let place = tempfile::TempDir::new().unwrap();
    documents(place.path());
    assert_snapshot!(dsn(place.path(), &["--format", "sqlx", "--root-cert", "ca.pem"]), @r"
    exit: 0
    stdout:
    postgresql://show%40build@127.0.0.1:6432/on%20air?sslmode=verify-ca&sslrootcert=ca.pem
    ");
    assert_snapshot!(dsn(place.path(), &["--format", "haproxy", "--root-cert", "ca.pem"]), @r"
    exit: 2
    stderr:
    error: HAProxy passes the client's own TLS through and proves nothing
    hint: Give --root-cert with the form that your application takes.
    ");
}

#[test]
fn libpq_reads_every_parameter_of_the_string() {
    let place = tempfile::TempDir::new().unwrap();
    documents(place.path());
    let written = program().args(["dsn", "--config"]).arg(place.path()).output().unwrap();
    let dsn = String::from_utf8(written.stdout).unwrap();
    // Nobody listens: what psql says is that it tried each server, and nothing about the string itself.
    let dsn = dsn.trim().replace("10.0.1.1:5433,10.0.2.1:5432", "127.0.0.1:1,127.0.0.1:2");
    let tried = Command::new("psql").args([&dsn, "-c", "select 1"]).output().unwrap();
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert_eq!(said.matches("Connection refused").count(), 2, "{said}");
}

#[test]
fn haproxy_takes_the_configuration_that_is_written_for_it() {
    let place = tempfile::TempDir::new().unwrap();
    documents(place.path());
    let written =
        program().args(["dsn", "--format", "haproxy", "--config"]).arg(place.path()).output().unwrap();
    let file = place.path().join("haproxy.cfg");
    std::fs::write(&file, &written.stdout).unwrap();
    let checked = Command::new("/usr/sbin/haproxy").args(["-c", "-f"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && !said.contains("WARNING"), "{said}");
    assert_snapshot!(dsn(place.path(), &["--format", "haproxy"]), @r"
    exit: 0
    stdout:
    # Written by sb-cli dsn --format haproxy. Checked with HAProxy 2.6.
    defaults
        mode tcp
        maxconn 1000
        retries 2
        timeout connect 4s
        timeout check 3s
        timeout client 30m
        timeout server 30m
        option clitcpka
        option srvtcpka

    listen primary
        bind 127.0.0.1:5000
        balance leastconn
        option httpchk GET /primary
        http-check expect status 200
        default-server inter 1s fastinter 300ms fall 2 rise 1 on-marked-down shutdown-sessions
        server ravena-1 10.0.1.1:5433 check port 8008
        server burlington-1 10.0.2.1:5432 check port 8008

    listen readers
        bind 127.0.0.1:5001
        balance leastconn
        option httpchk GET /read-only?lag=16MB
        http-check expect status 200
        default-server inter 1s fastinter 300ms fall 2 rise 1 on-marked-down shutdown-sessions
        server ravena-1 10.0.1.1:5433 check port 8008
        server burlington-1 10.0.2.1:5432 check port 8008
    ");
}

#[test]
fn documents_that_cannot_be_used_are_told_and_give_no_string() {
    let place = tempfile::TempDir::new().unwrap();
    std::fs::write(place.path().join("sites.json"), r#"{"ravena": {"wireguardIp": "x"}}"#).unwrap();
    let told = dsn(place.path(), &[]);
    assert!(told.starts_with("exit: 1") && !told.contains("postgresql://"), "{told}");
}
