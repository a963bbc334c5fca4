use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network of mesh addresses in CIDR form, such as `10.0.2.0/24`; host bits are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a network in CIDR form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Not of the form `address/prefix length`.
    #[error("not a network of the form 10.0.2.0/24")]
    Form,
    /// The prefix length is longer than the address.
    #[error("the prefix length is more than {bits_max}")]
    Prefix {
        /// Bits of an address of this family.
        bits_max: u8,
    },
    /// Bits behind the prefix are set.
    #[error("bits behind the prefix are set; the network is {network}")]
    HostBits {
        /// The network that contains the address.
        network: Subnet,
    },
}

impl Subnet {
    /// The network with `prefix` leading bits that contains `address`.
    ///
    /// # Errors
    /// When the prefix is longer than the address.
    pub fn containing(address: IpAddr, prefix: u8) -> Result<Self, SubnetError> {
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits_max {
            return Err(SubnetError::Prefix { bits_max });
        }
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        };
        Ok(Self { address, prefix })
    }

    /// The first address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Leading bits that all its addresses share.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self::containing(address, self.prefix).is_ok_and(|network| network == self)
    }

    /// Whether an address exists that lies in both.
    #[must_use]
    pub fn overlaps(self, other: Subnet) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').ok_or(SubnetError::Form)?;
        let address: IpAddr = address.parse().map_err(|_| SubnetError::Form)?;
        let digits = (1..=3).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = if digits { prefix.parse().unwrap_or(u8::MAX) } else { return Err(SubnetError::Form) };
        let network = Self::containing(address, prefix)?;
        if network.address == address { Ok(network) } else { Err(SubnetError::HostBits { network }) }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_contains_its_addresses_only() {
        assert!(subnet("10.0.1.0/24").contains("10.0.1.255".parse().unwrap()));
        assert!(!subnet("10.0.1.0/24").contains("10.0.2.0".parse().unwrap()));
        assert!(subnet("0.0.0.0/0").contains("203.0.113.1".parse().unwrap()));
        assert!(!subnet("0.0.0.0/0").contains("fd00::1".parse().unwrap()));
        assert!(subnet("fd00:1::/64").contains("fd00:1::7".parse().unwrap()));
    }

    #[test]
    fn overlap_is_containment_of_the_smaller() {
        assert!(subnet("10.0.0.0/16").overlaps(subnet("10.0.1.0/24")));
        assert!(subnet("10.0.1.0/24").overlaps(subnet("10.0.0.0/16")));
        assert!(!subnet("10.0.1.0/24").overlaps(subnet("10.0.2.0/24")));
    }

    #[test]
    fn set_host_bits_are_refused_with_the_network_meant() {
        let error = "10.0.2.1/24".parse::<Subnet>().unwrap_err();
        assert_eq!(error.to_string(), "bits behind the prefix are set; the network is 10.0.2.0/24");
        for text in ["", "10.0.2.0", "10.0.2.0/", "10.0.2.0/33", "10.0.2.0/+8", "x/8", "10.0.2.0/999"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
