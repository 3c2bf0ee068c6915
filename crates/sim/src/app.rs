//! The state that all handlers of one server share.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Config;
use crate::driver::Driver;
use crate::engine::Engine;
use crate::faults::Faults;
use crate::lock::lock;
use crate::stored::Stored;

/// The models and LoRA adapters that a server has. Adapters can be loaded and unloaded.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    pub(crate) models: Vec<String>,
    pub(crate) loras: Vec<String>,
    pub(crate) max_model_len: u32,
}

/// The state of one server.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) driver: Driver,
    pub(crate) engine_id: String,
    pub(crate) side_port: u16,
    pub(crate) faults: Faults,
    pub(crate) stored: Stored,
    /// Prefill servers that a pull has reached before. If one of them refuses connections, the pull fails at once.
    pub(crate) peers: Mutex<HashSet<(String, u16)>>,
    catalog: Mutex<Arc<Catalog>>,
    /// Unix time when the server started, in seconds.
    started: f64,
    ids: AtomicU64,
    sleep: AtomicU8,
    random: RandomState,
    stopped: watch::Sender<bool>,
}

impl App {
    pub(crate) fn new(config: Config, side_port: u16) -> Self {
        let engine = Engine::new(config.profile.clone(), config.engine());
        let catalog = Catalog {
            models: config.models.clone(),
            loras: config.loras.clone(),
            max_model_len: config.max_model_len,
        };
        let random = RandomState::new();
        Self {
            driver: Driver::new(engine, Clock::starting_now(config.speed)),
            engine_id: engine_id(&random),
            side_port,
            faults: Faults::default(),
            stored: Stored::default(),
            peers: Mutex::default(),
            catalog: Mutex::new(Arc::new(catalog)),
            started: unix_now(),
            ids: AtomicU64::new(0),
            sleep: AtomicU8::new(0),
            random,
            stopped: watch::Sender::new(false),
            config,
        }
    }

    /// The host that decoding servers connect to for KV: the configured one, else the listen address, with loopback for
    /// a wildcard address.
    pub(crate) fn side_host(&self) -> String {
        if let Some(host) = &self.config.side_channel_host {
            return host.clone();
        }
        let ip = self.config.listen.ip();
        if ip.is_unspecified() { "127.0.0.1".to_owned() } else { ip.to_string() }
    }

    /// The current Unix time, in seconds.
    pub(crate) fn unix_time(&self) -> f64 {
        self.started + self.driver.clock().uptime().as_secs_f64()
    }

    /// Unix time when the server started, in seconds.
    pub(crate) fn started(&self) -> f64 {
        self.started
    }

    /// A new id of 16 hex digits, different from those of other servers.
    pub(crate) fn fresh_id(&self) -> String {
        format!("{:016x}", self.random.hash_one(self.ids.fetch_add(1, Ordering::Relaxed)))
    }

    /// The sleep level of the engine: 0 awake, 1 weights offloaded, 2 everything discarded.
    pub(crate) fn sleep(&self) -> u8 {
        self.sleep.load(Ordering::Relaxed)
    }

    pub(crate) fn set_sleep(&self, level: u8) {
        self.sleep.store(level, Ordering::Relaxed);
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&lock(&self.catalog))
    }

    /// Changes the catalog atomically and returns the result of `change`.
    pub(crate) fn update_catalog<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        let mut catalog = lock(&self.catalog);
        let mut next = Catalog::clone(&catalog);
        let result = change(&mut next);
        *catalog = Arc::new(next);
        result
    }

    /// Ends the engine as a crash would. Requests in it fail, and later ones get an error.
    pub(crate) fn die(&self) {
        tracing::warn!("the engine died");
        self.driver.die();
        self.stopped.send_replace(true);
    }

    /// Completes once the engine is dead.
    pub(crate) async fn stopped(&self) {
        // `self` owns the sender, so the channel cannot close before the wait ends.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}

/// A random engine id in the form of a version 4 UUID, as NIXL uses them.
fn engine_id(random: &RandomState) -> String {
    let word = |n: u64| {
        let mut hasher = random.build_hasher();
        hasher.write_u64(n);
        hasher.write(b"engine");
        hasher.finish()
    };
    let (a, b) = (word(1), word(2));
    let parts = (a >> 32, a >> 16 & 0xffff, a & 0xfff, b >> 48 & 0x3fff | 0x8000);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        parts.0,
        parts.1,
        parts.2,
        parts.3,
        b & 0xffff_ffff_ffff
    )
}

#[expect(clippy::disallowed_methods, reason = "read once, to stamp answers as vLLM does")]
fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
