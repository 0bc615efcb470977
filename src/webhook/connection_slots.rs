//! Places for connections: so many in all, and so many of one address, so that nobody alone can take them all. Knows no socket.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of a listener.
pub struct ConnectionSlots {
    free: Arc<Semaphore>,
    most: u32,
    most_each: u32,
    /// Of each address that has any.
    taken: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection's place; free again when it is dropped.
pub struct ConnectionSlot {
    places: Arc<ConnectionSlots>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlots {
    /// So many in all, and so many of one address.
    pub fn new(most: u32, most_each: u32) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(most as usize));
        Arc::new(Self { free, most, most_each, taken: Mutex::default() })
    }

    /// A place for a connection of this address; `None`: there is none left, or this address has its share.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionSlot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let address = owner(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(address).or_default();
        if *own == self.most_each {
            return None;
        }
        *own += 1;
        Some(ConnectionSlot { places: Arc::clone(self), address, _permit: permit })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.most as usize - self.free.available_permits()
    }

    /// Waits until all are free.
    pub async fn all_free(&self) {
        // The semaphore is never closed.
        let _ = self.free.acquire_many(self.most).await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: of IPv6 the network, since whoever has one address of a /64 has all of them.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn an_address_gets_its_share_and_others_get_the_rest() {
        let places = ConnectionSlots::new(5, 2);
        let held: Vec<ConnectionSlot> = ["2001:db8::1", "2001:db8::2"].into_iter().filter_map(|ip| places.take(of(ip))).collect();
        // The same network, and an address in two spellings.
        assert!(held.len() == 2 && places.take(of("2001:db8::3")).is_none());
        let other: Vec<ConnectionSlot> =
            ["192.0.2.1", "::ffff:192.0.2.1"].into_iter().filter_map(|ip| places.take(of(ip))).collect();
        assert!(other.len() == 2 && places.take(of("192.0.2.1")).is_none());
        let last = places.take(of("2001:db8:0:1::1"));
        assert!(last.is_some() && places.take(of("198.51.100.1")).is_none() && places.taken() == 5);
        drop(held);
        assert!(places.take(of("2001:db8::3")).is_some());
        drop((other, last));
        assert!(places.taken() == 0 && places.taken.lock().expect("no poison").is_empty());
    }
}
