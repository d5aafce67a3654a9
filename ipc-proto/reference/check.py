#!/usr/bin/env python3
"""Encodes and decodes every example of docs/protocol.md by what the page says, and nothing else.

usage: check.py PAGE

Reads the blocks `types`, `examples` and `records` of the page. Ends with status 1 at the first example that is not its bytes.
A client in another language can start from this file.
"""
import ipaddress
import json
import re
import sys

WIDTHS = {"u16": 16, "u32": 32, "u64": 64}


def block(page, name):
    return re.search(rf"^```{name}\n(.*?)^```$", page, re.S | re.M).group(1)


def split(text):
    """Splits at the commas outside brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "<([") - (c in ">)]")
        if c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [part for part in parts + [text[start:].strip()] if part]


def parse_types(text):
    """Name -> list of fields, or list of variants: (name, None | type | fields)."""
    types = {}
    text = "\n".join(re.sub(r"\s*//.*", "", line) for line in text.splitlines())
    for kind, name, body in re.findall(r"^(enum|struct) ([\w:]+) \{\n(.*?)^\}$", text, re.S | re.M):
        field = r"^\s+(\w+): (.*),$"
        if kind == "struct":
            types[name] = re.findall(field, body, re.M)
            continue
        variants = []
        pattern = r"^    (\d+) = (\w+)(?:\(([^\n]*)\)| \{\n(.*?)^    \})?,$"
        for number, variant, inner, fields in re.findall(pattern, body, re.S | re.M):
            assert int(number) == len(variants), f"{name} skips a number"
            content = inner or (re.findall(field, fields, re.M) if fields else None)
            variants.append((variant, content))
        types[name] = tuple(variants)
    return types


def varint(value):
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


class Codec:
    def __init__(self, types):
        self.types = types

    def encode(self, ty, value):
        if ty == "bool":
            return bytes([value])
        if ty == "u8":
            return bytes([value])
        if ty in WIDTHS:
            assert 0 <= value < 1 << WIDTHS[ty]
            return varint(value)
        if match := re.fullmatch(r"option<(.*)>", ty):
            return b"\0" if value is None else b"\1" + self.encode(match[1], value)
        if match := re.fullmatch(r"string<(\d+)>", ty):
            text = value.encode()
            assert len(text) <= int(match[1])
            return varint(len(text)) + text
        if match := re.fullmatch(r"list<(.*), (\d+)>", ty):
            assert len(value) <= int(match[2])
            return varint(len(value)) + b"".join(self.encode(match[1], item) for item in value)
        if match := re.fullmatch(r"\[(.*); (\d+)\]", ty):
            assert len(value) == int(match[2])
            return b"".join(self.encode(match[1], item) for item in value)
        if ty.startswith("("):
            return b"".join(self.encode(t, v) for t, v in zip(split(ty[1:-1]), value, strict=True))
        definition = self.types[ty]
        if isinstance(definition, list):
            value = self.address(ty, value)
            assert set(value) == {name for name, _ in definition}, f"fields of {ty}"
            return b"".join(self.encode(t, value[name]) for name, t in definition)
        value = self.address(ty, value)
        variant, content = (value, None) if isinstance(value, str) else next(iter(value.items()))
        number = [name for name, _ in definition].index(variant)
        fields = definition[number][1]
        if fields is None:
            return varint(number)
        if isinstance(fields, list):
            return varint(number) + b"".join(self.encode(t, content[name]) for name, t in fields)
        return varint(number) + self.encode(fields, content)

    @staticmethod
    def address(ty, value):
        """Addresses are text in the examples."""
        if ty in ("Ipv4Addr", "Ipv6Addr"):
            return {"octets": list(ipaddress.ip_address(value).packed)}
        if ty == "IpAddr":
            return {f"V{ipaddress.ip_address(value).version}": value}
        if ty == "SocketAddr":
            ip, port = value.rsplit(":", 1)
            ip = ip.strip("[]")
            return {f"V{ipaddress.ip_address(ip).version}": {"ip": ip, "port": int(port)}}
        return value

    def decode(self, ty, data):
        """The value and the rest of the bytes."""
        if ty == "bool":
            assert data[0] < 2
            return bool(data[0]), data[1:]
        if ty == "u8":
            return data[0], data[1:]
        if ty in WIDTHS:
            value, used = 0, 0
            while True:
                byte = data[used]
                value |= (byte & 0x7F) << 7 * used
                used += 1
                if byte < 0x80:
                    break
            assert value < 1 << WIDTHS[ty] and varint(value) == data[:used]
            return value, data[used:]
        if match := re.fullmatch(r"option<(.*)>", ty):
            some, rest = self.decode("bool", data)
            return self.decode(match[1], rest) if some else (None, rest)
        if match := re.fullmatch(r"string<(\d+)>", ty):
            length, rest = self.decode("u64", data)
            assert length <= int(match[1]) and length <= len(rest)
            return rest[:length].decode(), rest[length:]
        if match := re.fullmatch(r"list<(.*), (\d+)>", ty):
            length, rest = self.decode("u64", data)
            assert length <= int(match[2])
            return self.sequence([match[1]] * length, rest)
        if match := re.fullmatch(r"\[(.*); (\d+)\]", ty):
            return self.sequence([match[1]] * int(match[2]), data)
        if ty.startswith("("):
            return self.sequence(split(ty[1:-1]), data)
        definition = self.types[ty]
        if isinstance(definition, list):
            return self.text(ty, *self.fields(definition, data))
        number, rest = self.decode("u32", data)
        name, content = definition[number]
        if content is None:
            return name, rest
        value, rest = self.fields(content, rest) if isinstance(content, list) else self.decode(content, rest)
        return self.text(ty, {name: value}, rest)

    def sequence(self, types, data):
        values = []
        for ty in types:
            value, data = self.decode(ty, data)
            values.append(value)
        return values, data

    def fields(self, fields, data):
        values, rest = self.sequence([ty for _, ty in fields], data)
        return dict(zip([name for name, _ in fields], values)), rest

    @staticmethod
    def text(ty, value, rest):
        if ty in ("Ipv4Addr", "Ipv6Addr"):
            return str(ipaddress.ip_address(bytes(value["octets"]))), rest
        if ty == "IpAddr":
            return next(iter(value.values())), rest
        if ty == "SocketAddr":
            version, parts = next(iter(value.items()))
            ip = parts["ip"] if version == "V4" else f"[{parts['ip']}]"
            return f"{ip}:{parts['port']}", rest
        return value, rest


def record(peer, text):
    ip, port = peer.rsplit(":", 1)
    ip = ipaddress.ip_address(ip.strip("[]"))
    head = len(text).to_bytes(2, "little") + int(port).to_bytes(2, "little") + bytes([ip.version, 0, 0, 0])
    return head + ip.packed.ljust(16, b"\0") + text.ljust(-(-len(text) // 8) * 8, b"\0")


def main(path):
    with open(path, encoding="utf-8") as file:
        page = file.read()
    codec = Codec(parse_types(block(page, "types")))
    ty, value, count = None, None, 0
    for line in block(page, "examples").splitlines():
        if line.startswith("# "):
            ty = line[2:]
        elif line.startswith("= "):
            data = bytes.fromhex(line[2:])
            assert codec.encode(ty, value) == data, f"{ty}: {value} is not {line[2:]}"
            assert codec.decode(ty, data) == (value, b""), f"{ty}: {line[2:]} is not {value}"
            count += 1
        else:
            value = json.loads(line)
    records = block(page, "records").splitlines()
    for value, line in zip(records[::2], records[1::2]):
        value = json.loads(value)
        assert record(value["peer"], value["bytes"].encode()) == bytes.fromhex(line[2:]), value
    print(f"{count} messages of {len(codec.types)} types, {len(records) // 2} records")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] in ("--help", "-h"):
        sys.exit(__doc__)
    main(sys.argv[1])
