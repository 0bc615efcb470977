//! Connection limits, in total and per address, so that no single client can use up all connections. No socket access.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The connection slots of a listener.
pub struct ConnectionSlots {
    free: Arc<Semaphore>,
    max: u32,
    max_per_address: u32,
    /// Slots in use, by address.
    taken: Mutex<HashMap<IpAddr, u32>>,
}

/// The slot of a connection. Dropping it frees the slot.
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlots {
    /// Creates `max` slots, of which one address may use `max_per_address`.
    pub fn new(max: u32, max_per_address: u32) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(max as usize));
        Arc::new(Self { free, max, max_per_address, taken: Mutex::default() })
    }

    /// Takes a slot for a connection from this address. `None` if no slot is free or the address has reached its limit.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionSlot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let address = owner(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(address).or_default();
        if *own == self.max_per_address {
            return None;
        }
        *own += 1;
        Some(ConnectionSlot { slots: Arc::clone(self), address, _permit: permit })
    }

    /// Number of slots in use.
    pub fn taken(&self) -> usize {
        self.max as usize - self.free.available_permits()
    }

    /// Waits until all slots are free.
    pub async fn all_free(&self) {
        // The semaphore is never closed.
        let _ = self.free.acquire_many(self.max).await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// The address that a limit applies to: for IPv6 its /64 network, since a client usually controls all of that.
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
    fn each_address_is_limited_to_its_share_of_connections() {
        let slots = ConnectionSlots::new(5, 2);
        let held: Vec<ConnectionSlot> = ["2001:db8::1", "2001:db8::2"].into_iter().filter_map(|ip| slots.take(of(ip))).collect();
        // The same network, and one address in two notations.
        assert!(held.len() == 2 && slots.take(of("2001:db8::3")).is_none());
        let other: Vec<ConnectionSlot> =
            ["192.0.2.1", "::ffff:192.0.2.1"].into_iter().filter_map(|ip| slots.take(of(ip))).collect();
        assert!(other.len() == 2 && slots.take(of("192.0.2.1")).is_none());
        let last = slots.take(of("2001:db8:0:1::1"));
        assert!(last.is_some() && slots.take(of("198.51.100.1")).is_none() && slots.taken() == 5);
        drop(held);
        assert!(slots.take(of("2001:db8::3")).is_some());
        drop((other, last));
        assert!(slots.taken() == 0 && slots.taken.lock().expect("no poison").is_empty());
    }
}
