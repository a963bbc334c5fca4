use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use tun_rs::{DeviceBuilder, GROTable, SyncDevice, VIRTIO_NET_HDR_LEN};

use super::Configuration;
use crate::engine::Inbox;
use crate::engine::inbox::HEADROOM_BYTES;

/// Packets that one read may be cut into: 64 KiB of a stream with the smallest usual segments (536 bytes).
const PACKETS_MAX: usize = 128;
/// The largest packet; a buffer this size never cuts one, whatever the MTU is set to meanwhile.
const PACKET_BYTES_MAX: usize = 65_535;
/// Headers of a packet that was cut off a longer one.
const HEADERS_BYTES_MAX: usize = 512;
/// So many packets wait in the kernel; streams over 75 ms fill less.
const QUEUE_PACKETS: u32 = 1000;

const _: () = assert!(HEADROOM_BYTES == VIRTIO_NET_HDR_LEN);

/// A TUN device that hands over and takes long pieces of streams at once.
pub(super) struct Device {
    tun: SyncDevice,
    joined: GROTable,
    /// What was read, before it is cut.
    raw: Vec<u8>,
    /// The packets that it was cut into.
    buffers: Vec<Vec<u8>>,
    sizes: Vec<usize>,
}

/// Why nothing was read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Nothing is there, or what was there could not be used; go on.
    Nothing,
    /// The device is gone.
    Gone(io::Error),
}

impl Device {
    pub(super) fn create(configuration: &Configuration) -> io::Result<Self> {
        let mut builder =
            DeviceBuilder::new().name(&configuration.name).mtu(configuration.mtu_bytes).with(|options| {
                options.offload(true).tx_queue_len(QUEUE_PACKETS);
            });
        for address in &configuration.addresses {
            builder = match address.address {
                std::net::IpAddr::V4(v4) => builder.ipv4(v4, address.prefix, None),
                std::net::IpAddr::V6(v6) => builder.ipv6(v6, address.prefix),
            };
        }
        let tun = builder.build_sync()?;
        tun.set_nonblocking(true)?;
        Ok(Self {
            tun,
            joined: GROTable::new(),
            raw: vec![0; VIRTIO_NET_HDR_LEN + PACKET_BYTES_MAX],
            buffers: (0..PACKETS_MAX).map(|nth| vec![0; packet_bytes_max(nth)]).collect(),
            sizes: vec![0; PACKETS_MAX],
        })
    }

    pub(super) fn mtu_bytes(&self) -> io::Result<u16> {
        self.tun.mtu()
    }

    /// Reads one piece and cuts it into packets.
    pub(super) fn read(&mut self) -> Result<(&mut [Vec<u8>], &[usize]), ReadError> {
        match self.tun.recv_multiple(&mut self.raw, &mut self.buffers, &mut self.sizes, 0) {
            Ok(packets) => Ok((&mut self.buffers[..packets], &self.sizes[..packets])),
            Err(error) if is_gone(&error) => Err(ReadError::Gone(error)),
            Err(_) => Err(ReadError::Nothing),
        }
    }

    /// Joins packets of one stream and writes them. What the kernel refuses, as while the device is down, is lost.
    pub(super) fn write(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        let written = self.tun.send_multiple(&mut self.joined, inbox.buffers(), HEADROOM_BYTES);
        inbox.clear();
        match written {
            Err(error) if is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the device keeps its descriptor open as long as it lives, which the borrow does not outlive.
        unsafe { BorrowedFd::borrow_raw(self.tun.as_raw_fd()) }
    }
}

/// The longest that the `nth` of the packets out of one piece can be: all before it are as long.
fn packet_bytes_max(nth: usize) -> usize {
    PACKET_BYTES_MAX.min(PACKET_BYTES_MAX / nth.max(1) + HEADERS_BYTES_MAX)
}

/// `EBADFD`: somebody has deleted the interface.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EBADFD as i32)
}
