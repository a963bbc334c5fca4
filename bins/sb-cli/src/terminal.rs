use std::fmt;
use std::io::{self, BufRead as _, IsTerminal as _, Write};

use crate::exit::Exit;
use crate::failure::Failure;

/// The only place that writes: stdout for data, stderr for talk and errors, stdin for answers.
pub struct Terminal {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// A person sits at both ends: stdin and stderr are terminals.
    conversation: Conversation,
    out_colour: Colour,
    err_colour: Colour,
    screen: Screen,
}

/// Whether questions can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversation {
    /// A person reads and types.
    Possible,
    /// A script runs us.
    Impossible,
}

/// Whether text may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
    Yes,
    /// Everywhere else.
    No,
}

/// Whether stdout can be cleared and drawn again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Screen {
    Redrawn,
    Scrolls,
}

/// How a piece of text stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Not at all.
    Plain,
    /// Good.
    Green,
    /// Look at it.
    Yellow,
    /// Act on it.
    Red,
    /// Less important.
    Dim,
}

impl Terminal {
    /// The terminal, files or pipes that this process was started with.
    pub fn of_this_process() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = |terminal: bool| if terminal && wanted { Colour::Yes } else { Colour::No };
        let (out, err) = (io::stdout(), io::stderr());
        let (out_tty, err_tty) = (out.is_terminal(), err.is_terminal());
        let person = io::stdin().is_terminal() && err_tty;
        Self {
            conversation: if person { Conversation::Possible } else { Conversation::Impossible },
            out_colour: colour(out_tty),
            err_colour: colour(err_tty),
            screen: if out_tty { Screen::Redrawn } else { Screen::Scrolls },
            out: Box::new(out),
            err: Box::new(err),
        }
    }

    /// Whether questions can be asked.
    pub fn conversation(&self) -> Conversation {
        self.conversation
    }

    /// Whether data may be coloured.
    pub fn colour(&self) -> Colour {
        self.out_colour
    }

    /// Writes data, and a line end.
    pub fn data(&mut self, data: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{data}")?;
        self.out.flush()
    }

    /// Writes data in place of what stands on the screen; below it where there is no screen.
    pub fn redraw(&mut self, data: impl fmt::Display) -> io::Result<()> {
        match self.screen {
            // Each line is cleared behind its end, so that nothing flickers.
            Screen::Redrawn => {
                let text = data.to_string().replace('\n', "\x1b[K\n");
                write!(self.out, "\x1b[H{text}\x1b[K\n\x1b[J")?;
            }
            Screen::Scrolls => writeln!(self.out, "{data}\n")?,
        }
        self.out.flush()
    }

    /// Tells a person what goes on. Nobody listening is no failure.
    pub fn talk(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.err, "{line}");
    }

    /// Asks a person and reads one line; empty at the end of input.
    pub fn ask(&mut self, question: impl fmt::Display) -> io::Result<String> {
        write!(self.err, "{question} ")?;
        self.err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// What the argument parser has to say: help on stdout, a fault on stderr.
    pub fn usage(&mut self, talk: &clap::Error) -> Exit {
        let (writer, colour, exit) = if talk.use_stderr() {
            (&mut self.err, self.err_colour, Exit::Usage)
        } else {
            (&mut self.out, self.out_colour, Exit::Done)
        };
        let text = talk.render();
        let _ = match colour {
            Colour::Yes => write!(writer, "{}", text.ansi()),
            Colour::No => write!(writer, "{text}"),
        };
        exit
    }

    /// Prints a failure: the one place where errors are printed.
    pub fn failure(&mut self, failure: &Failure) {
        if failure.exit == Exit::Done {
            return;
        }
        let mut text = format!("{} {}\n", Ink::Red.paint("error:", self.err_colour), failure.message);
        for detail in &failure.details {
            text += &block("detail:", detail);
        }
        for gate in &failure.gates {
            text += &block("gate:", &format!("{}: {}, allowed {}", gate.name, gate.observed, gate.limit));
        }
        if let Some(hint) = &failure.hint {
            text += &block("hint:", hint);
        }
        let _ = self.err.write_all(text.as_bytes());
    }
}

/// A word and its text, further lines set below the first.
fn block(word: &str, text: &str) -> String {
    let indent = format!("\n{:width$}", "", width = word.len() + 1);
    format!("{word} {}\n", text.trim_end().replace('\n', &indent))
}

impl Ink {
    /// The text in this ink.
    pub fn paint(self, text: &str, colour: Colour) -> String {
        let code = match (colour, self) {
            (Colour::No, _) | (_, Ink::Plain) => return text.to_owned(),
            (Colour::Yes, Ink::Green) => "32",
            (Colour::Yes, Ink::Yellow) => "33",
            (Colour::Yes, Ink::Red) => "31",
            (Colour::Yes, Ink::Dim) => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_lines_stand_below_the_first() {
        assert_eq!(block("hint:", "one\ntwo\n"), "hint: one\n      two\n");
    }

    #[test]
    fn text_without_colour_is_the_text() {
        assert_eq!(Ink::Red.paint("x", Colour::No), "x");
        assert_eq!(Ink::Red.paint("x", Colour::Yes), "\x1b[31mx\x1b[0m");
    }
}
