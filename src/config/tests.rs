#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;

use tempfile::NamedTempFile;

use super::*;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn faults(file: Option<&Path>, variables: &[(&str, &str)]) -> InvalidSettings {
    Settings::load(&[], file, environment(variables), &[]).unwrap_err()
}

fn names(faults: &InvalidSettings) -> Vec<&str> {
    faults.0.iter().map(|violation| violation.setting.as_str()).collect()
}

#[test]
fn later_layers_win() {
    let file = file("log.filter = \"debug\"\n[server]\nmax_in_flight = 1\ndrain_ms = 1\nmax_deadline_ms = 1");
    let variables = environment(&[("BEDSIDE_SERVER__DRAIN_MS", "2"), ("BEDSIDE_SERVER__MAX_DEADLINE_MS", "2")]);
    let flags = [("server.max_deadline_ms", "3".to_owned())];
    let defaults = [("log.filter", "warn"), ("server.reflection", "false")];
    let settings = Settings::load(&defaults, Some(file.path()), variables, &flags).unwrap();
    let server = &settings.server;
    assert_eq!((server.max_in_flight, server.drain_ms, server.max_deadline_ms), (1, 2, 3));
    assert_eq!((settings.log.filter.as_str(), server.reflection), ("debug", false));
    assert_eq!(settings.limits.max_messages, Limits::default().max_messages);
}

#[test]
fn every_mistake_is_named() {
    let file = file("nonsense = 1\n[server]\ngrpc_addr = \"here\"\nport = 5\n[limits]\nmax_messages = 0");
    let found = faults(Some(file.path()), &[("BEDSIDE_MODEL__ENGINE", "abacus"), ("BEDSIDE_MODEL__WORKERS", "many")]);
    let expected =
        ["limits.max_messages", "model.engine", "model.workers", "nonsense", "server.grpc_addr", "server.port"];
    let mut names = names(&found);
    names.sort_unstable();
    assert_eq!(names, expected, "{found}");
}

#[test]
fn no_mistake_shows_a_secret() {
    for text in ["cache.redis.url = redis://:hunter2@cache", "[cache]\nkey = hunter2", "cache.redis = \"hunter2\""] {
        let file = file(text);
        let found = faults(Some(file.path()), &[]).to_string();
        assert!(!found.contains("hunter2"), "{found}");
    }
    for name in ["BEDSIDE_CACHE__REDIS", "BEDSIDE_CACHE__KEY", "BEDSIDE_CACHE", "BEDSIDE_CACHE__REDIS__URL"] {
        let found = faults(None, &[(name, "hunter2")]).to_string();
        assert!(!found.contains("hunter2"), "{name}: {found}");
    }
}

#[test]
fn what_others_put_into_the_environment_is_not_ours() {
    let variables = environment(&[
        ("BEDSIDE_SERVICE_HOST", "10.0.0.1"),
        ("BEDSIDE_SERVICE_PORT_GRPC", "50051"),
        ("BEDSIDE_PORT", "tcp://10.0.0.1:50051"),
        ("BEDSIDE_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("BEDSIDE_CONFIG", "bedside.toml"),
        ("BEDSIDE_CACHE__REDIS__URL", ""),
        ("PATH", "/bin"),
    ]);
    assert!(Settings::load(&[], None, variables, &[]).is_ok());
    assert_eq!(names(&faults(None, &[("BEDSIDE_SEVER__GRPC_ADDR", "127.0.0.1:1")])), ["sever.grpc_addr"]);
}
