//! An agent on a Unix socket whose answers the test gives, and the program run against it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde::Serialize;
use tempfile::TempDir;

type Answers = BTreeMap<String, Vec<(u16, String)>>;

/// Answers each `METHOD /path` with what the test said, one after the other, the last one for ever.
pub struct FakeAgent {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
    directory: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl FakeAgent {
    pub fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (answers, asked) = (Arc::new(Mutex::new(Answers::new())), Arc::new(Mutex::new(Vec::new())));
        let (told, noted) = (answers.clone(), asked.clone());
        let router = Router::new().fallback(async move |method: Method, uri: Uri, body: Bytes| {
            noted.lock().unwrap().push(format!("{method} {uri} {}", String::from_utf8_lossy(&body)));
            answer(&mut told.lock().unwrap(), &format!("{method} {}", uri.path()))
        });
        let path = directory.path().join("agent.sock");
        let listener = runtime.block_on(async { tokio::net::UnixListener::bind(path).unwrap() });
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { answers, asked, directory, _runtime: runtime }
    }

    /// Says what `METHOD /path` is answered with, after what was said before.
    pub fn answers(self, request: &str, status: u16, answer: &impl Serialize) -> Self {
        let text = serde_json::to_string(answer).unwrap();
        self.answers.lock().unwrap().entry(request.into()).or_default().push((status, text));
        self
    }

    /// The requests that came, with their bodies.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    /// Runs the program against this agent.
    pub fn run(&self, arguments: &[&str]) -> String {
        run_at(&self.socket(), arguments)
    }
}

fn answer(answers: &mut Answers, request: &str) -> (StatusCode, String) {
    let Some(left) = answers.get_mut(request) else {
        return (StatusCode::IM_A_TEAPOT, format!("the test gave no answer to {request}"));
    };
    let (status, text) = if left.len() > 1 { left.remove(0) } else { left[0].clone() };
    (StatusCode::from_u16(status).unwrap(), text)
}

/// Runs the program without a terminal, asking the agent at `socket`.
pub fn run_at(socket: &Path, arguments: &[&str]) -> String {
    shown(program().env("SB_SOCKET", socket).args(arguments), socket)
}

/// The program, ignorant of the environment of the tests.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sb-cli"));
    command.stdin(Stdio::null()).env_remove("SB_SERVER").env_remove("SB_TOKEN_FILE").env_remove("SB_CA");
    command
}

/// Everything a script sees of a run: exit status, stdout, stderr; `here` in place of a path that differs each time.
pub fn shown(command: &mut Command, here: &Path) -> String {
    let output = command.output().unwrap();
    let mut text = format!("exit: {}\n", output.status.code().unwrap());
    for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
        if !bytes.is_empty() {
            let content = String::from_utf8(bytes).unwrap();
            text += &format!("{name}:\n{content}");
        }
    }
    text.replace(here.to_str().unwrap(), "HERE")
}

/// Runs the program with a person at the terminal, who types `typed`; the exit status and what stood on the screen.
pub fn run_with_person(socket: &Path, typed: &str, arguments: &[&str]) -> (i32, String) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut controller = File::from(controller);
    controller.write_all(typed.as_bytes()).unwrap();

    let mut command = program();
    command.args(arguments).env("SB_SOCKET", socket).env("NO_COLOR", "1");
    command.stdin(terminal.try_clone().unwrap()).stderr(terminal).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    // The screen ends when nobody holds the terminal any more.
    drop(command);
    let output = child.wait_with_output().unwrap();
    let mut screen = Vec::new();
    let _ = controller.read_to_end(&mut screen);
    let screen = String::from_utf8(screen).unwrap().replace('\r', "");
    (output.status.code().unwrap(), screen + &String::from_utf8(output.stdout).unwrap())
}
