use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A libpq connection string: keywords with values, in order, each keyword once.
///
/// Text form is that of the PostgreSQL manual, section 34.1.1.1 "Keyword/Value Connection Strings". Connection
/// URIs are not read. A password in it is shown by [`Conninfo::reveal`] only; [`fmt::Debug`] hides it and there is
/// no `Display`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Conninfo {
    settings: Vec<(Cow<'static, str>, String)>,
}

/// The text is not a connection string, or a value cannot stand in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConninfoError {
    /// A keyword has no `=` and value.
    #[error("missing `=` after `{keyword}` in a connection string")]
    MissingEquals {
        /// The keyword.
        keyword: String,
    },
    /// A `=` has no keyword before it.
    #[error("a `=` without a keyword in a connection string")]
    MissingKeyword,
    /// A quote is opened and not closed.
    #[error("unterminated quoted value of `{keyword}` in a connection string")]
    Unterminated {
        /// The keyword.
        keyword: String,
    },
    /// libpq ends a string at a zero byte.
    #[error("the value of `{keyword}` contains a zero byte")]
    ZeroByte {
        /// The keyword.
        keyword: String,
    },
}

/// Keywords whose values are secrets.
const SECRET_KEYWORDS: [&str; 2] = ["password", "sslpassword"];

impl Conninfo {
    /// An empty connection string: libpq's defaults for everything.
    #[must_use]
    pub const fn new() -> Self {
        Self { settings: Vec::new() }
    }

    /// Sets a keyword. One that is set already keeps its place and takes the new value.
    ///
    /// # Errors
    /// When the value contains a zero byte.
    pub fn with(mut self, keyword: &'static str, value: impl Into<String>) -> Result<Self, ConninfoError> {
        self.set(Cow::Borrowed(keyword), value.into())?;
        Ok(self)
    }

    /// The value of a keyword.
    #[must_use]
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == keyword).map(|(_, value)| value)
    }

    /// Keywords and values, in order, secrets among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(keyword, value)| (keyword.as_ref(), value.as_str()))
    }

    /// The connection string, with its password.
    #[must_use]
    pub fn reveal(&self) -> String {
        let settings: Vec<_> =
            self.iter().map(|(keyword, value)| format!("{keyword}={}", quoted(value))).collect();
        settings.join(" ")
    }

    fn set(&mut self, keyword: Cow<'static, str>, value: String) -> Result<(), ConninfoError> {
        if value.contains('\0') {
            return Err(ConninfoError::ZeroByte { keyword: keyword.into_owned() });
        }
        match self.settings.iter_mut().find(|(name, _)| *name == keyword) {
            Some((_, old)) => *old = value,
            None => self.settings.push((keyword, value)),
        }
        Ok(())
    }
}

/// What libpq takes for white space: C's `isspace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0B' | '\x0C' | '\r')
}

fn quoted(value: &str) -> Cow<'_, str> {
    if !value.is_empty() && !value.contains(|c: char| is_space(c) || c == '\'' || c == '\\') {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
}

impl FromStr for Conninfo {
    type Err = ConninfoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut conninfo = Self::new();
        let mut rest = text.trim_start_matches(is_space);
        while !rest.is_empty() {
            let end = rest.find(|c| c == '=' || is_space(c)).unwrap_or(rest.len());
            let keyword = &rest[..end];
            let after = rest[end..].trim_start_matches(is_space);
            let value = after.strip_prefix('=').ok_or_else(|| missing_equals(keyword))?;
            if keyword.is_empty() {
                return Err(ConninfoError::MissingKeyword);
            }
            let (value, after) = read_value(keyword, value.trim_start_matches(is_space))?;
            conninfo.set(Cow::Owned(keyword.to_owned()), value)?;
            rest = after.trim_start_matches(is_space);
        }
        Ok(conninfo)
    }
}

fn missing_equals(keyword: &str) -> ConninfoError {
    ConninfoError::MissingEquals { keyword: keyword.to_owned() }
}

/// Reads a value as `conninfo_parse` of libpq does: a backslash takes the next character as it is, inside
/// quotes and outside.
fn read_value<'a>(keyword: &str, text: &'a str) -> Result<(String, &'a str), ConninfoError> {
    let (inside, quote) = match text.strip_prefix('\'') {
        Some(inside) => (inside, true),
        None => (text, false),
    };
    let mut value = String::new();
    let mut characters = inside.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quote => return Ok((value, &inside[at + 1..])),
            c if !quote && is_space(c) => return Ok((value, &inside[at..])),
            c => value.push(c),
        }
    }
    if quote { Err(ConninfoError::Unterminated { keyword: keyword.to_owned() }) } else { Ok((value, "")) }
}

impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |keyword: &str, value| if SECRET_KEYWORDS.contains(&keyword) { "(hidden)" } else { value };
        f.debug_map().entries(self.iter().map(|(keyword, value)| (keyword, shown(keyword, value)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_libpq_reads_them() {
        let conninfo = Conninfo::new()
            .with("host", "10.0.1.1")
            .and_then(|c| c.with("password", r"it's a \ word"))
            .and_then(|c| c.with("options", ""))
            .unwrap();
        assert_eq!(conninfo.reveal(), r"host=10.0.1.1 password='it\'s a \\ word' options=''");
    }

    #[test]
    fn debug_hides_the_password() {
        let conninfo: Conninfo = "user=replicator password=hunter2".parse().unwrap();
        assert_eq!(format!("{conninfo:?}"), r#"{"user": "replicator", "password": "(hidden)"}"#);
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let conninfo: Conninfo = "host=a port=1 host=b".parse().unwrap();
        assert_eq!(conninfo.reveal(), "host=b port=1");
    }

    #[test]
    fn spaces_around_the_equals_sign_are_passed_over() {
        let conninfo: Conninfo = "  host = a\tport\n=\n5432 dbname='x y'z=1".parse().unwrap();
        assert_eq!(conninfo.reveal(), "host=a port=5432 dbname='x y' z=1");
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["host", "host a=b", "=a", "host='a", r"host='a\'", "a=\0"] {
            assert!(text.parse::<Conninfo>().is_err(), "{text}");
        }
    }
}
