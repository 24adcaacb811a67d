//! The argument of every command that computes.

use clap::Args;
use gxn::device::{Device, DeviceChoice};

#[derive(Debug, Clone, Copy, Args)]
pub struct DeviceArgs {
    /// What computes: cpu, cuda, wgpu, vulkan or metal; cuda:1 is the second GPU. A GPU needs a build with the feature of that
    /// name [default: cpu]
    #[arg(long, value_name = "DEVICE", env = "GXN_DEVICE", hide_env_values = true)]
    pub device: Option<DeviceChoice>,
}

impl DeviceArgs {
    /// The device that is asked for, or the CPU.
    pub fn choice(&self) -> DeviceChoice {
        self.device.unwrap_or_default()
    }

    /// The same, opened.
    pub fn open(&self) -> gxn::Result<Device> {
        self.choice().open()
    }
}
