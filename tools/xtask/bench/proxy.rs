//! What the way out of the sandbox costs: a download over the loopback, beside the same without the
//! proxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};
use sandbox::{Network, Proxy};

use super::{Bench, Figure, Unit};
use crate::measure::{Samples, repeat};

/// What is downloaded at a time.
const BYTES: u64 = 256 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// A download straight, by plain HTTP and through a tunnel.
pub(super) fn throughput(bench: &Bench) -> Result<Vec<Figure>> {
    let origin = origin()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let proxy = listener.local_addr()?;
    let allowed = origin.to_string().parse().map_err(anyhow::Error::msg)?;
    let (log, mut requests) = tokio::sync::mpsc::channel(8);
    // Who keeps the record takes what is asked for.
    thread::spawn(move || while requests.blocking_recv().is_some() {});
    let _proxy = Proxy::start(listener.into(), Network::Hosts(vec![allowed]), log)?;
    let get = format!("GET / HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\r\n");
    let through = format!("GET http://{origin}/ HTTP/1.1\r\nConnection: close\r\n\r\n");
    let connect = format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n");
    let times = bench.reps.max(3);
    let measure = |to: SocketAddr, asks: &[&str]| -> Result<Samples> {
        Ok(Samples::of(repeat(times, || download(to, asks))?))
    };
    let direct = measure(origin, &[&get])?;
    let mut figures = vec![Figure::new("proxy: 256 MiB without it", Unit::Seconds, direct.clone())];
    for (name, asks) in [("plain HTTP", &[through.as_str()][..]), ("tunnel", &[&connect, &get])] {
        let name = format!("proxy: 256 MiB, {name}");
        let figure = Figure::new(&name, Unit::Seconds, measure(proxy, asks)?);
        figures.push(figure.against("without it", &direct));
    }
    Ok(figures)
}

/// A server that answers whatever it is asked with the same bytes. It ends with the program.
fn origin() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let piece = vec![b'x'; PIECE_BYTES];
        for mut stream in listener.incoming().flatten() {
            // Who goes away early has measured nothing, and says so.
            let _ = serve(&mut stream, &piece);
        }
    });
    Ok(address)
}

fn serve(stream: &mut TcpStream, piece: &[u8]) -> Result<()> {
    head(&mut BufReader::new(stream.try_clone()?))?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n")?;
    for _ in 0..BYTES / piece.len() as u64 {
        stream.write_all(piece)?;
    }
    Ok(())
}

/// Asks one thing after the other; after the last answer comes the body.
fn download(to: SocketAddr, asks: &[&str]) -> Result<f64> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(to)?;
    let mut reader = BufReader::with_capacity(PIECE_BYTES, stream.try_clone()?);
    for ask in asks {
        stream.write_all(ask.as_bytes())?;
        let status = head(&mut reader)?;
        if !status.contains(" 200 ") {
            bail!("the answer is {status}");
        }
    }
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = BYTES;
    while left > 0 {
        match reader.read(&mut piece)? {
            0 => bail!("{left} bytes are missing"),
            read => left -= read as u64,
        }
    }
    Ok(began.elapsed().as_secs_f64())
}

/// The first line of a head, which is read to its end.
fn head(reader: &mut impl BufRead) -> Result<String> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    Ok(first.trim_end().to_owned())
}
