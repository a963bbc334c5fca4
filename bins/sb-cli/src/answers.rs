use std::net::IpAddr;
use std::str::FromStr;

use sb_topology::SiteName;
use serde_json::{Map, Value, json};

/// What a person says about one site: `burlington=10.0.2.1@203.0.113.21`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteAnswer {
    /// Key of the site.
    pub name: SiteName,
    /// Its servers, at least one.
    pub servers: Vec<ServerAnswer>,
}

/// Where a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerAnswer {
    mesh: IpAddr,
    public: Option<IpAddr>,
}

impl SiteAnswer {
    /// A site from its name and the text of its addresses.
    pub fn new(name: &str, addresses: &str) -> Result<Self, String> {
        let name = name.trim().parse().map_err(|error: sb_topology::NameError| error.to_string())?;
        let servers = addresses.split(',').map(|text| text.trim().parse()).collect::<Result<_, _>>()?;
        Ok(Self { name, servers })
    }
}

impl FromStr for SiteAnswer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = || "give NAME=ADDRESS, such as burlington=10.0.2.1@203.0.113.21".to_owned();
        let (name, addresses) = text.split_once('=').ok_or_else(wanted)?;
        Self::new(name, addresses)
    }
}

impl FromStr for ServerAnswer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = |text: &str| text.parse().map_err(|_| format!("`{text}` is no IP address"));
        match text.split_once('@') {
            Some((mesh, public)) => Ok(Self { mesh: address(mesh)?, public: Some(address(public)?) }),
            None => Ok(Self { mesh: address(text)?, public: None }),
        }
    }
}

/// `sites.json` from answers: the first site is the primary one, and earlier ones take over before later ones.
pub fn sites_document(answers: &[SiteAnswer]) -> Value {
    let mut sites = Map::new();
    for (index, answer) in answers.iter().enumerate() {
        let servers = answer.servers.iter().enumerate().map(|(number, server)| {
            json!({
                "name": format!("{}-{}", answer.name, number + 1),
                "ip": server.public,
                "wireguardIp": server.mesh,
            })
        });
        let first = answer.servers.first();
        let site = json!({
            "ip": first.and_then(|server| server.public),
            "wireguardIp": first.map(|server| server.mesh),
            "enabled": true,
            "replicationMode": "async",
            "role": if index == 0 { "primary" } else { "replica" },
            "priority": index + 1,
            "servers": servers.collect::<Vec<_>>(),
        });
        sites.insert(answer.name.to_string(), without_nulls(site));
    }
    Value::Object(sites)
}

/// The document without keys that have nothing to say.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_a_name_and_addresses() {
        let answer: SiteAnswer = "ravena=10.0.1.1@203.0.113.11,10.0.1.2".parse().unwrap();
        assert_eq!(answer.servers.len(), 2);
        for text in ["", "ravena", "ravena=", "=10.0.1.1", "Ravena=10.0.1.1", "ravena=10.0.1", "r=10.0.1.1@x"]
        {
            assert!(text.parse::<SiteAnswer>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_site_is_the_primary_one() {
        let answers = ["ravena=10.0.1.1", "tucson=10.0.5.1"].map(|text| text.parse().unwrap());
        let document = sites_document(&answers);
        assert_eq!(document["ravena"]["role"], "primary");
        assert_eq!(document["tucson"]["role"], "replica");
        assert_eq!(document["tucson"]["servers"][0]["name"], "tucson-1");
        assert_eq!(document["tucson"].get("ip"), None);
    }
}
