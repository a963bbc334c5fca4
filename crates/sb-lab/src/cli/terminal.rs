//! The story on a terminal, or as plain lines where there is none.

use std::io::{self, IsTerminal, Write};

use crate::demo::{Frame, Screen};

/// Where the words of the table get their colours.
const COLOURS: [(&str, &str); 6] = [
    (" primary ", "1;32"),
    (" off ", "1;31"),
    (" silent ", "31"),
    (" frozen ", "1;34"),
    (" fenced ", "33"),
    (" promoting ", "1;33"),
];

/// Standard output as a [`Screen`].
pub(super) enum Terminal {
    /// A terminal: the frame is drawn over the one before.
    Live {
        /// Whether colours are wanted (<https://no-color.org>).
        paint: Paint,
    },
    /// A file or a pipe: lines only.
    Plain,
}

/// Whether words are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Colours,
    Nothing,
}

impl Terminal {
    /// What standard output is.
    pub(super) fn detect() -> Self {
        if !io::stdout().is_terminal() {
            return Self::Plain;
        }
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::Live { paint: if refused { Paint::Nothing } else { Paint::Colours } }
    }
}

impl Screen for Terminal {
    fn say(&mut self, line: &str) {
        if matches!(self, Self::Plain) {
            println!("{line}");
        }
    }

    fn show(&mut self, frame: &Frame<'_>) {
        let Self::Live { paint } = self else { return };
        let (width, height) = size();
        let drawn = draw(&frame.lines(), width, height, *paint);
        let mut out = io::stdout().lock();
        // A terminal that is gone ends the demo by SIGHUP, not here.
        let _ = out.write_all(drawn.as_bytes()).and_then(|()| out.flush());
    }
}

/// One write that replaces the whole screen: home, each line with the rest of its row cleared, then the rest below.
fn draw(lines: &[String], width: usize, height: usize, paint: Paint) -> String {
    let mut drawn = String::from("\x1b[H");
    for line in lines.iter().take(height.saturating_sub(1)) {
        let cut: String = line.chars().take(width).collect();
        drawn.push_str(&coloured(&cut, paint));
        drawn.push_str("\x1b[K\r\n");
    }
    drawn.push_str("\x1b[J");
    drawn
}

fn coloured(line: &str, paint: Paint) -> String {
    if paint == Paint::Nothing {
        return line.to_owned();
    }
    match COLOURS.iter().find_map(|(word, colour)| Some((line.find(word)?, word, colour))) {
        Some((at, word, colour)) => {
            format!("{}\x1b[{colour}m{word}\x1b[0m{}", &line[..at], &line[at + word.len()..])
        }
        None => line.to_owned(),
    }
}

fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_to_the_terminal_and_replaces_the_one_before() {
        let lines = ["0123456789".to_owned(), "ab".to_owned(), "never".to_owned()];
        assert_eq!(draw(&lines, 4, 3, Paint::Nothing), "\x1b[H0123\x1b[K\r\nab\x1b[K\r\n\x1b[J");
    }

    #[test]
    fn colours_are_left_out_when_they_are_not_wanted() {
        let line = "  ravena-2      primary       2";
        assert_eq!(coloured(line, Paint::Nothing), line);
        assert_eq!(coloured(line, Paint::Colours), "  ravena-2     \x1b[1;32m primary \x1b[0m      2");
    }
}
