//! Attacks over TCP: on MQTT and on HTTP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use iotorch_lite::api::DeviceProtocol;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{Attack, CROWD, Count, Crowd, FEW, Known, Manner, words};
use crate::Result;

/// The time between two bytes of a slow client.
const SLOWLY: Duration = Duration::from_millis(500);
/// How long an attacker waits to be thrown out.
const THROWN_OUT_WITHIN: Duration = Duration::from_secs(1);
/// How long a client that gets no further stays as it is.
const STAY: Duration = Duration::from_secs(60);

/// Whose password is guessed.
const USER: &str = "admin";

/// One who attacks.
#[derive(Clone)]
struct Attacker {
    mqtt: bool,
    at: SocketAddr,
    count: Arc<Count>,
}

pub(super) fn attack(Attack { manner, protocol, at, known }: &Attack, count: &Arc<Count>, crowd: &mut Crowd) {
    let attacker = Attacker { mqtt: *protocol == DeviceProtocol::Mqtt, at: *at, count: Arc::clone(count) };
    let is = move |attacker: &Attacker| attacker.clone();
    match manner {
        Manner::Slow => crowd.add(CROWD, move || is(&attacker).slow()),
        Manner::Stalled => {
            if let Some(known) = known.clone() {
                let attacker = attacker.clone();
                crowd.add(FEW, move || is(&attacker).ask_and_never_read(known.clone()));
            }
            crowd.add(CROWD, move || is(&attacker).say_nothing());
        }
        Manner::Flooding => {
            if let Some(known) = known.clone() {
                let attacker = attacker.clone();
                crowd.add(FEW, move || is(&attacker).flood(known.clone()));
            }
            crowd.add(FEW, move || is(&attacker).guess());
        }
        Manner::Malformed => crowd.add(FEW, move || is(&attacker).noise()),
    }
}

impl Attacker {
    async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.at).await?;
        self.count.connected();
        Ok(stream)
    }

    async fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
        stream.write_all(bytes).await?;
        self.count.sent(bytes.len());
        Ok(())
    }

    async fn slow(self) -> Result<()> {
        let mut stream = self.connect().await?;
        let words = if self.mqtt { words::endless_connect() } else { words::endless_request() };
        for byte in words {
            self.send(&mut stream, &[byte]).await?;
            sleep(SLOWLY).await;
        }
        Ok(())
    }

    async fn say_nothing(self) -> Result<()> {
        let mut stream = self.connect().await?;
        // It ends when the other side has had enough.
        let _ = stream.read(&mut [0]).await?;
        sleep(SLOWLY).await;
        Ok(())
    }

    /// Whoever logs in over MQTT does so once; with HTTP each request does.
    async fn known(&self, Known { user, password, .. }: &Known) -> Result<TcpStream> {
        let mut stream = self.connect().await?;
        if self.mqtt {
            self.send(&mut stream, &words::connect(user, password)).await?;
            stream.read_exact(&mut [0; 4]).await?;
        }
        Ok(stream)
    }

    fn message(&self, known: &Known) -> Vec<u8> {
        if self.mqtt { words::publish(&known.path, &known.message) } else { words::post(known) }
    }

    async fn ask_and_never_read(self, known: Known) -> Result<()> {
        let mut stream = self.known(&known).await?;
        let message = self.message(&known);
        while let Ok(sent) = timeout(STAY, self.send(&mut stream, &message)).await {
            sent?;
        }
        Ok(())
    }

    async fn flood(self, known: Known) -> Result<()> {
        let stream = self.known(&known).await?;
        let (mut answers, mut requests) = stream.into_split();
        let reading = async {
            let mut answer = [0; 4096];
            while answers.read(&mut answer).await? > 0 {}
            Ok(())
        };
        let messages = self.message(&known).repeat(FEW);
        let writing = async {
            loop {
                requests.write_all(&messages).await?;
                self.count.sent(messages.len());
            }
        };
        tokio::select! {
            ended = reading => ended,
            ended = writing => ended,
        }
    }

    async fn guess(self) -> Result<()> {
        let mut stream = self.connect().await?;
        let guess = format!("{:x}", rand::random::<u64>());
        let guess = if self.mqtt {
            words::connect(USER, &guess)
        } else {
            let (user, path) = (USER.to_owned(), format!("devices/{USER}"));
            words::post(&Known { user, password: guess, path, message: "{}".to_owned() })
        };
        self.send(&mut stream, &guess).await?;
        let _ = stream.read(&mut [0; 256]).await?;
        Ok(())
    }

    async fn noise(self) -> Result<()> {
        let mut stream = self.connect().await?;
        if rand::random() {
            let words = if self.mqtt { words::endless_connect() } else { words::endless_request() };
            self.send(&mut stream, &words[..rand::random_range(0..64)]).await?;
        }
        self.send(&mut stream, &words::noise()).await?;
        let _ = timeout(THROWN_OUT_WITHIN, stream.read(&mut [0; 256])).await;
        Ok(())
    }
}
