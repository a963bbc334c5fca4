use crate::findings::{Findings, Placed};
use crate::json::Node;
use crate::{DatabaseSettings, Password, PostgresPlacement};

/// `database.json` as read.
pub(crate) struct DatabaseDraft {
    pub(crate) host: Option<Placed<String>>,
    pub(crate) settings: DatabaseSettings,
}

/// Reads `database.json`.
pub(crate) fn read_database(root: &Node<'_>, findings: &mut Findings) -> DatabaseDraft {
    let mut settings = DatabaseSettings::default();
    let Some(mut object) = root.object(findings) else { return DatabaseDraft { host: None, settings } };
    let mut name = |key, findings: &mut Findings| {
        let text = object.required(key, findings)?.text(findings)?;
        if text.value.is_empty() {
            findings.error(&text.place, "value.empty", format!("`{key}` is empty"));
            return None;
        }
        Some(Placed { value: text.value.to_owned(), place: text.place })
    };
    let host = name("host", findings);
    if let Some(host) = &host {
        settings.host.clone_from(&host.value);
    }
    if let Some(database) = name("database", findings) {
        settings.database = database.value;
    }
    if let Some(username) = name("username", findings) {
        settings.username = username.value;
    }
    settings.port = PostgresPlacement::PORT_DEFAULT;
    object.set_integer("port", &mut settings.port, 1..=u16::MAX, findings);
    if let Some(text) = object.optional("password").and_then(|node| node.text(findings)) {
        settings.password = Password::new(text.value.to_owned());
    }
    settings.ssl = object.optional("ssl").and_then(|node| node.flag(findings)).unwrap_or(false);
    object.finish(findings);
    DatabaseDraft { host, settings }
}
