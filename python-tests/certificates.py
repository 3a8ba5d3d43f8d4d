"""Certificates of a test authority, and the client side of TLS."""

import select
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from client import Connection
from cryptography.hazmat.primitives import serialization

FORMS = serialization.PrivateFormat
PLAIN = serialization.NoEncryption()


class Authority:
    """Signs certificates, and makes client contexts that trust it."""

    def __init__(self):
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes()

    def issue(self, *names, key="ECDSA", expired=False, **subject):
        past = datetime.now(UTC) - timedelta(days=1)
        return self._ca.issue_cert(
            *names,
            key_type=trustme.KeyType[key],
            not_before=past - timedelta(days=30),
            not_after=past if expired else None,
            **subject,
        )

    def files(self, folder, *names, stem="server", form=FORMS.PKCS8, encryption=PLAIN, **how):
        """Writes STEM.crt and STEM.key for these names and returns both paths."""
        issued = self.issue(*(names or ("localhost", "127.0.0.1")), **how)
        folder = Path(folder)
        certificate, key = folder / f"{stem}.crt", folder / f"{stem}.key"
        certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        loaded = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, form, encryption))
        return certificate, key

    def context(self, version=None, certificate=None, protocols=("http/1.1",)):
        """A client context that trusts this authority."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if certificate is not None:
            certificate.configure_cert(context)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


class TlsConnection(Connection):
    """A TLS connection of a client. A connection that ends without close_notify is an error."""

    def __init__(self, address, context, host="localhost", session=None, **how):
        super().__init__(address, **how)
        try:
            self.socket = context.wrap_socket(
                self.socket, server_hostname=host, session=session, suppress_ragged_eofs=False
            )
        except BaseException:
            self.socket.close()
            raise

    def send_while_reading(self, data):
        """Sends all of it and keeps what arrives meanwhile, on one thread: two threads cannot use
        one TLS session.
        """
        rest, seconds = memoryview(data), self.socket.gettimeout()
        self.socket.setblocking(False)
        try:
            while rest:
                stuck = 0
                try:
                    rest = rest[self.socket.send(rest) :]
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    stuck += 1
                try:
                    self._more()
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    stuck += 1
                if stuck == 2:
                    ready = select.select([self.socket], [self.socket], [], seconds)
                    assert any(ready), f"{len(rest)} bytes could not be sent, and nothing came"
        finally:
            self.socket.settimeout(seconds)

    @property
    def names(self):
        """The names in the server's certificate."""
        return [name for _, name in self.socket.getpeercert()["subjectAltName"]]


class HandMadeTls:
    """A TLS connection where the test sends the records: byte by byte, several at once, or not at
    all.
    """

    def __init__(self, address, context, host="localhost"):
        self._socket = socket.create_connection(address, timeout=20)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._socket.close()

    def handshake(self, send):
        """Performs the handshake until the client waits for nothing more. Its last records are not
        sent yet.
        """
        while True:
            try:
                return self._tls.do_handshake()
            except ssl.SSLWantReadError:
                send(self.records())
                self._receive()

    def records(self):
        return self._outgoing.read()

    def write(self, data):
        """Encrypts data and returns all records that are to be sent."""
        self._tls.write(data)
        return self.records()

    def goodbye(self):
        """The records of an ended stream."""
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self.records()

    def send(self, data):
        self._socket.sendall(data)

    def send_single_bytes(self, data):
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            self._socket.sendall(data[at : at + 1])

    def end_of_sending(self):
        self._socket.shutdown(socket.SHUT_WR)

    def abort(self):
        """Closes with RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def _receive(self):
        data = self._socket.recv(65536)
        if not data:
            raise EOFError("the server closed")
        self._incoming.write(data)

    def read_until(self, end):
        text = b""
        while end not in text:
            try:
                text += self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._receive()
        return text
