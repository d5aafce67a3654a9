//! Bringing a device up, and what a device may say meanwhile.

use super::*;
use crate::{
    device::{EVERYTHING, Mac},
    fake::{self, FakeNic, State},
    transport::TRANSMIT,
};

/// Starts a device that `prepare` made peculiar.
fn start(prepare: impl FnOnce(&mut State)) -> Result<Identity, DeviceError> {
    let _turn = fake::take_turn();
    let device = FakeNic::new();
    prepare(&mut device.0.borrow_mut());
    let started = Nic::start(
        device.transport(),
        fake::memory([fake::small(8); 2]),
        EVERYTHING,
    );
    let identity = started.map(|nic| *nic.identity());
    let status = device.0.borrow().status;
    if !device.0.borrow().never_resets {
        assert_eq!(status, 0, "left running");
    }
    identity
}

#[test]
fn a_good_device_says_who_it_is() {
    let identity = start(|_| {}).unwrap();
    assert_eq!(identity.mac, Mac([2, 0, 0, 0, 0, 9]));
    assert_eq!(std::format!("{}", identity.mac), "02:00:00:00:00:09");
    assert_eq!((identity.mtu, identity.link_up), (1500, true));
    assert_eq!(identity.features, Features::all());
}

#[test]
fn an_mtu_that_makes_no_sense_is_not_believed() {
    for (said, used) in [
        (0, 1500),
        (67, 1500),
        (68, 68),
        (2016, 2016),
        (2017, 1500),
        (65535, 1500),
    ] {
        let [low, high] = u16::to_le_bytes(said);
        let identity = start(|device| device.config[10..].copy_from_slice(&[low, high])).unwrap();
        assert_eq!(identity.mtu, used, "device says {said}");
        let believed = identity.features.contains(Features::MTU);
        assert_eq!(believed, said == used);
    }
}

#[test]
fn a_device_without_status_has_its_link_up() {
    let identity = start(|device| {
        device.offered &= !(1 << 16);
        device.config[6] = 0;
    });
    assert!(identity.unwrap().link_up);
}

#[test]
fn devices_that_lack_what_is_needed_are_refused() {
    let legacy = start(|device| device.offered &= !(1 << 32));
    assert_eq!(legacy, Err(DeviceError::Legacy));
    let nameless = start(|device| device.offered &= !(1 << 5));
    assert_eq!(nameless, Err(DeviceError::NoMac));
}

#[test]
fn devices_that_do_not_come_along_are_refused() {
    let error = start(|device| device.refuses_features = true);
    assert_eq!(error, Err(DeviceError::FeaturesRefused));
    let error = start(|device| device.refuses_vectors = true);
    assert_eq!(error, Err(DeviceError::VectorRefused));
    let error = start(|device| device.unstable = true);
    assert_eq!(error, Err(DeviceError::UnstableConfig));
    let error = start(|device| {
        device.never_resets = true;
        device.status = 15;
    });
    assert_eq!(error, Err(DeviceError::ResetTimeout));
}

#[test]
fn queues_of_unusable_size_are_refused() {
    for size in [0, 1, 128, 255, 257, 300, 0xffff] {
        let error = start(|device| device.max_queue_size = size);
        let expected = DeviceError::QueueSize {
            queue: 0,
            size: size.into(),
        };
        assert_eq!(error, Err(expected));
    }
    assert!(start(|device| device.max_queue_size = 1024).is_ok());
}

#[test]
fn notification_registers_outside_their_structure_are_refused() {
    let error = start(|device| device.notify_off = 0x400);
    assert_eq!(error, Err(DeviceError::NotifyOutside(0)));
    // The last register there is; the second queue's is beyond.
    let error = start(|device| device.notify_off = 0x3ff);
    assert_eq!(error, Err(DeviceError::NotifyOutside(1)));
}

#[test]
fn a_pool_beyond_its_memory_or_the_address_space_is_refused() {
    let layout = fake::small(8);
    let bytes = layout.bytes() as u64;
    let fits = |start, bytes| DevicePool::new(start, bytes, layout).is_some();
    assert!(fits(4096, bytes) && fits(4096, bytes + 4096) && fits(u64::MAX - bytes, bytes));
    assert!(!fits(4096, bytes - 1) && !fits(4096, 0));
    assert!(!fits(u64::MAX - bytes + 1, bytes));
}

#[test]
fn without_memory_for_queues_the_device_is_not_started() {
    let _turn = fake::take_turn();
    let device = FakeNic::new();
    let memory = DeviceMemory {
        arena: crate::hal::testing::arena(5, 0x5000),
        ..fake::memory([fake::small(8); 2])
    };
    let error = Nic::start(device.transport(), memory, EVERYTHING).err();
    assert_eq!(error, Some(DeviceError::QueueSetup(TRANSMIT)));
    assert_eq!(device.0.borrow().status, 0);
}
