//! Numbers of 64 bits as text: programs that read JSON numbers as floating point would change them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(number: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    number.map(|number| format!("{number:016x}")).serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| u64::from_str_radix(&text, 16).map_err(D::Error::custom)).transpose()
}
