import hashlib, hmac, time

def verify(secret: bytes, headers, body: bytes, now=None) -> bool:
    ident, stamp = headers["Millrace-Id"], headers["Millrace-Timestamp"]
    if not stamp.isdigit() or abs((time.time() if now is None else now) - int(stamp)) > 300:
        return False
    signed = ident.encode() + b"." + stamp.encode() + b"." + body
    want = "v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(want, got) for got in headers["Millrace-Signature"].split())
