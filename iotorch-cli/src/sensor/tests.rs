use iotorch_core::model::{DeviceProtocol, Labels};

use super::*;
use crate::device::tests::status;

fn labels(value: &str) -> Labels {
    Labels::from([(LABEL.0.to_owned(), value.to_owned())])
}

#[test]
fn a_labelled_device_is_fed_whatever_it_speaks() {
    for protocol in [DeviceProtocol::Mqtt, DeviceProtocol::Coap] {
        let found = labelled(&status(protocol, labels("host")));
        let [((slice, name), device)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((slice.as_str(), name.as_str(), device.protocol), ("s", "here", protocol));
    }
}

#[test]
fn a_device_that_asks_for_something_else_is_left_alone() {
    assert!(labelled(&status(DeviceProtocol::Mqtt, labels("greenhouse"))).is_empty());
    assert!(labelled(&status(DeviceProtocol::Mqtt, Labels::new())).is_empty());
}
