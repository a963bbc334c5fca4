//! The lab as a whole: the network, the servers on it, and what can be done to them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::brake::Brake;
use crate::cluster::{self, Agents, BundlesError, Credentials, PostgresUser, ProgramsError, etcd};
use crate::disk::Disk;
use crate::fault::{Fault, Part, Target};
use crate::host::{Directories, Host, Power, Trouble};
use crate::layout::{Duty, Layout};
use crate::network::{Links, Network};
use crate::options::{Equipment, LabOptions, Mesh, StoreChoice};
use crate::outside::{Visit, visit};
use crate::place::Place;
use crate::recorder::{Access, Recorder, RecorderPlan};
use crate::unit::{Order, Unit};

/// Where an agent keeps its part of the store, below its state directory.
const STORE: &str = "raft";

/// The lab could not be built, or a fault not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The system refused a namespace or a TUN device.
    #[error("could not make the network of the lab")]
    Network(#[source] io::Error),
    /// Configuration and certificates could not be made.
    #[error(transparent)]
    Bundles(#[from] BundlesError),
    /// A program is missing or cannot be prepared.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// A server could not be set up.
    #[error("could not set up `{place}`")]
    Host {
        /// Which.
        place: Place,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something could not be done to a server.
    #[error("could not signal the processes of `{place}`")]
    Signal {
        /// Which server.
        place: Place,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Links could not be cut or healed.
    #[error("could not cut or heal the links")]
    Links(#[source] io::Error),
    /// There is nothing to do it to.
    #[error("nothing of that kind runs on `{target}`")]
    NothingThere {
        /// What was meant.
        target: Target,
    },
}

impl LabError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Network(_) => Some(
                "The lab needs /dev/net/tun: as root `modprobe tun`; for other users `chmod 0666 /dev/net/tun`.".into(),
            ),
            Self::Programs(ProgramsError::NoAgent { tried }) => {
                let tried: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
                Some(format!(
                    "Looked for {}. Build it: cargo build -p sb-agent; or name it in SB_AGENT.",
                    tried.join(", ")
                ))
            }
            Self::Programs(ProgramsError::NoPostgresUser) => {
                Some("Install PostgreSQL's packages (apt-get install postgresql), or do not run the lab as root.".into())
            }
            Self::Programs(ProgramsError::NoEtcd) => {
                Some("Install its package (apt-get install etcd-server), or leave `--store etcd` out.".into())
            }
            Self::Links(_) => Some("Ports are cut with `nft`: apt-get install nftables.".into()),
            Self::NothingThere { .. } => Some("See what runs: sb-cli lab status".into()),
            Self::Bundles(_) | Self::Programs(_) | Self::Host { .. } | Self::Signal { .. } => None,
        }
    }
}

/// The office's part of the mesh, under supervision.
fn office_tunnel(agent: &Path, files: &Path, network: &Network) -> Result<Unit, LabError> {
    let failed = |source| LabError::Host { place: Place::OFFICE, source };
    let directories = Directories::under(files, Place::OFFICE);
    directories.create().map_err(failed)?;
    let program = cluster::tunnel(agent, files, directories.log.join("tunnel.log"));
    Unit::new(program, network.namespace(Place::OFFICE)).map_err(failed)
}

/// The servers of a layout, at their sites.
#[derive(Debug)]
pub struct Lab {
    // Before the network: servers end before their links do.
    hosts: Vec<Host>,
    /// What brings the office into the mesh, when there is one.
    tunnel: Option<Unit>,
    network: Network,
    credentials: Credentials,
    agents: Agents,
    /// The agent's program, and the same under another name.
    agent_programs: [PathBuf; 2],
    store: StoreChoice,
    files: PathBuf,
    logs: PathBuf,
    layout: Layout,
}

impl Lab {
    /// Builds network, bundles and servers under `root`; every server is still switched off. Call it inside a
    /// Tokio runtime, which then supervises the servers' programs.
    ///
    /// # Errors
    /// When the system refuses something; see [`LabError::hint`].
    pub fn build(root: &Path, options: &LabOptions) -> Result<Self, LabError> {
        let user = PostgresUser::choose()?;
        let agent_programs = [cluster::install_agent(root)?, cluster::install_agent(&root.join("next"))?];
        let network = Network::build(options.mesh).map_err(LabError::Network)?;
        let files = root.join("servers");
        let credentials = cluster::make(options, &agent_programs[0], &files)?;
        let host = |(place, duty): (Place, Duty)| {
            let failed = |source| LabError::Host { place, source };
            let directories = Directories::under(&files, place);
            directories.create().map_err(failed)?;
            let trouble = match options.equipment {
                Equipment::Plain => None,
                Equipment::Disks => Some(Trouble {
                    disk: Disk::put_under(&directories.state).map_err(failed)?,
                    brake: Brake::new(directories.state.join(STORE)),
                    etcd_brake: Brake::new(PathBuf::from("/")),
                    other_agent: agent_programs[1].clone(),
                }),
            };
            let brake = trouble.as_ref().map(|trouble| &trouble.brake);
            let mut programs = cluster::programs_of(&directories, &agent_programs[0], duty, user, brake)?;
            if options.store == StoreChoice::Etcd && etcd::has_member(place) {
                let brake = trouble.as_ref().map(|trouble| &trouble.etcd_brake);
                programs.insert(0, etcd::member(place, &directories, brake)?);
            }
            let host = Host::new(place, directories, network.namespace(place), network.links(), programs);
            let host = host.map_err(failed)?;
            Ok(match trouble {
                None => host,
                Some(trouble) => host.with_trouble(trouble),
            })
        };
        let hosts = options.layout.servers().map(host).collect::<Result<Vec<_>, LabError>>()?;
        let tunnel = match options.mesh {
            Mesh::Off => None,
            Mesh::On => Some(office_tunnel(&agent_programs[0], &files, &network)?),
        };
        let agents = Agents::new(Place::servers().map(|place| Directories::under(&files, place)));
        let (logs, layout) = (options.logs.clone(), options.layout);
        Ok(Self {
            hosts,
            tunnel,
            network,
            credentials,
            agents,
            agent_programs,
            store: options.store,
            files,
            logs,
            layout,
        })
    }

    /// Switches every server on.
    pub fn switch_on(&self) {
        self.hosts.iter().for_each(Host::switch_on);
        self.tunnel.iter().for_each(|tunnel| tunnel.order(Order::Run));
    }

    /// One server. The office is none, nor is a machine outside of the layout.
    #[must_use]
    pub fn host(&self, place: Place) -> Option<&Host> {
        self.hosts.iter().find(|host| host.place() == place)
    }

    /// Where the cluster keeps its record.
    #[must_use]
    pub fn store(&self) -> StoreChoice {
        self.store
    }

    /// Every server.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The servers that have PostgreSQL.
    pub fn databases(&self) -> impl Iterator<Item = Place> {
        self.layout.databases()
    }

    /// The network between them.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The links, to cut and to heal.
    #[must_use]
    pub fn links(&self) -> Links {
        self.network.links()
    }

    /// The agents, to ask.
    #[must_use]
    pub fn agents(&self) -> &Agents {
        &self.agents
    }

    /// How clients get into the database.
    #[must_use]
    pub fn access(&self) -> Access {
        self.credentials.access()
    }

    /// Starts clients that write.
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn record(&self, plan: RecorderPlan) -> io::Result<Recorder> {
        Recorder::start(&self.network, self.access(), plan)
    }

    /// Runs a client's work in a place of the lab, on a thread of its own.
    ///
    /// # Errors
    /// When a thread cannot be made or the work panics.
    pub async fn client<T, W>(
        &self,
        place: Place,
        work: impl FnOnce(Access) -> W + Send + 'static,
    ) -> io::Result<T>
    where
        T: Send + 'static,
        W: Future<Output = T>,
    {
        let access = self.access();
        self.network.namespace(place).run_async(move || work(access)).await
    }

    /// What a host that is no member of the mesh gets from the servers that have power; [`None`] without a mesh.
    ///
    /// # Errors
    /// When a thread cannot be made, or the way to a server is not open.
    pub async fn visit_from_outside(&self) -> io::Result<Option<Visit>> {
        let Some(stranger) = self.network.stranger() else { return Ok(None) };
        let powered = self.hosts.iter().filter(|host| host.power() == Power::On);
        let places: Vec<Place> = powered.map(Host::place).collect();
        stranger.run_async(move || visit(places)).await?.map(Some)
    }

    /// Lets something go wrong, or puts it right.
    ///
    /// # Errors
    /// When processes cannot be signalled, or there is nothing to do it to.
    pub fn apply(&self, fault: &Fault) -> Result<(), LabError> {
        let links = self.links();
        match fault {
            Fault::Cut(from, to) => links.cut(from.places(), to.places()),
            Fault::CutBoth(a, b) => links.cut_both(a.places(), b.places()),
            Fault::Isolate(target) => links.isolate(target.places()),
            Fault::CutPort(port) => links.cut_port(*port).map_err(LabError::Links)?,
            Fault::Lose(share) => links.lose(*share),
            Fault::LoseAround(target, per_million) => links.lose_around(target.places(), *per_million),
            Fault::Heal => links.heal().map_err(LabError::Links)?,
            Fault::Kill(target, Part::Host) => self.each(target, |host| host.lose_power().map(|()| 1))?,
            Fault::Kill(target, part) => self.each(target, |host| host.kill(*part))?,
            Fault::Freeze(target, part) => self.each(target, |host| host.freeze(*part))?,
            Fault::Thaw(target) => self.each(target, |host| host.thaw().map(|()| 1))?,
            Fault::Return(target) => self.each(target, |host| {
                host.switch_on();
                Ok(1)
            })?,
            Fault::FillDisk(target) => self.each(target, |host| with_trouble(host, |it| it.disk.fill()))?,
            Fault::FreeDisk(target) => self.each(target, |host| with_trouble(host, |it| it.disk.free()))?,
            Fault::SlowDisk(target, delay_ms) => self.each(target, |host| {
                with_trouble(host, |it| {
                    it.brake.set(*delay_ms);
                    Ok(())
                })
            })?,
            Fault::Upgrade(target) => self.each(target, Host::upgrade)?,
            Fault::SlowEtcd(target, delay_ms) => self.each(target, |host| {
                with_trouble(host, |it| {
                    it.etcd_brake.set(*delay_ms);
                    Ok(())
                })
            })?,
            Fault::HangStore(target, time_ms) => self.each(target, |host| {
                with_trouble(host, |it| {
                    let time = Duration::from_millis((*time_ms).into());
                    it.brake.hang_store(time);
                    it.etcd_brake.hang_store(time);
                    Ok(())
                })
            })?,
        }
        Ok(())
    }

    /// Ends every server and removes the lab's files, so that another lab has room. A lab that is the last in its
    /// namespaces needs no such thing: everything goes with them.
    ///
    /// # Errors
    /// When processes survive SIGKILL, or files cannot be removed.
    pub fn clear_away(&self) -> io::Result<()> {
        self.hosts.iter().try_for_each(Host::lose_power)?;
        for trouble in self.hosts.iter().filter_map(Host::trouble) {
            trouble.disk.remove()?;
        }
        for program in &self.agent_programs {
            nix::mount::umount2(program, nix::mount::MntFlags::MNT_DETACH)?;
            fs::remove_file(program)?;
        }
        fs::remove_dir_all(&self.files)
    }

    /// Copies what the servers' programs have printed out of the lab, so that it can be read afterwards.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn keep_logs(&self, story: &str) -> io::Result<PathBuf> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let kept = self.logs.join(format!("{story}-{seconds}-{}", std::process::id()));
        for host in &self.hosts {
            let to = kept.join(host.place().name());
            fs::create_dir_all(&to)?;
            let Directories { state, log, .. } = host.directories();
            copy_files(log, &to)?;
            copy_files(&state.join("pglog"), &to)?;
            copy_files(state, &to)?;
        }
        Ok(kept)
    }

    fn each(&self, target: &Target, act: impl Fn(&Host) -> io::Result<usize>) -> Result<(), LabError> {
        let mut touched = 0;
        for host in target.places().iter().filter_map(|place| self.host(*place)) {
            touched += act(host).map_err(|source| LabError::Signal { place: host.place(), source })?;
        }
        if touched == 0 { Err(LabError::NothingThere { target: target.clone() }) } else { Ok(()) }
    }
}

/// Does something to a host's disk, and says to how many: none where the lab was built without.
fn with_trouble(host: &Host, act: impl FnOnce(&Trouble) -> io::Result<()>) -> io::Result<usize> {
    host.trouble().map_or(Ok(0), |trouble| act(trouble).map(|()| 1))
}

/// Copies what a directory's files say, without secrets and without what lies below it. A directory that does not
/// exist has nothing to say.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let told = path.extension().is_some_and(|kind| kind == "log" || kind == "jsonl");
        if let (true, Some(name)) = (told && path.is_file(), path.file_name()) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
