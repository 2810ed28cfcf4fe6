// The test vectors, judged by node's own crypto and thirty lines of CBOR: no package, nothing of ours.
// Run by `make oracle` where node (18 or later) is installed: it proves that another language reads the envelopes.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const vectors = JSON.parse(readFileSync(new URL("../../docs/protocol-vectors.json", import.meta.url)));
const hex = (text) => Buffer.from(text, "hex");
const ORDER = BigInt("0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");

// One item at `at`: [value, the place after it]. Throws at what our messages do not use.
function read(data, at) {
  const major = data[at] >> 5, info = data[at] & 31;
  if (at >= data.length || info > 27) throw new Error("malformed");
  const extra = info < 24 ? 0 : 1 << (info - 24);
  const value = extra ? Number(BigInt("0x" + data.subarray(at + 1, at + 1 + extra).toString("hex"))) : info;
  at += 1 + extra;
  if (major === 0) return [value, at];
  if (major === 1) return [-1 - value, at];
  if (major === 2 || major === 3) {
    if (at + value > data.length) throw new Error("malformed");
    const raw = data.subarray(at, at + value);
    return [major === 2 ? raw : raw.toString("utf8"), at + value];
  }
  if (major !== 4 && major !== 5) throw new Error("malformed");
  const parts = [];
  for (let left = major === 4 ? value : 2 * value, part; left > 0; left--) {
    [part, at] = read(data, at);
    parts.push(part);
  }
  return [major === 4 ? parts : new Map(parts.flatMap((_, n) => (n % 2 ? [] : [[parts[n], parts[n + 1]]]))), at];
}

const bytes = (raw) => {
  const size = raw.length;
  const head = size < 24 ? [0x40 | size] : size < 256 ? [0x58, size] : [0x59, size >> 8, size & 255];
  return Buffer.concat([Buffer.from(head), raw]);
};

const keys = new Map(Object.values(vectors.keys).map((key) => {
  const kid = createHash("sha256").update(hex(key.spki)).digest("hex").slice(0, 16);
  if (kid !== key.kid) throw new Error(`key ${key.kid}: its id is ${kid}`);
  return [kid, createPublicKey({ key: hex(key.spki), format: "der", type: "spki" })];
}));

// The code of a refusal, or "" for a signature that holds; no schema is judged here.
function judge(raw) {
  if (raw[0] !== 0xd2) return "malformed";
  const [[header, , payload, signature]] = read(raw, 1);
  const key = keys.get(read(header, 0)[0].get(4).toString("hex"));
  if (!key) return "unknown_key";
  if (BigInt("0x" + signature.subarray(32).toString("hex")) > ORDER / 2n) return "bad_signature";
  const signed = Buffer.concat([Buffer.from("\x84\x6aSignature1", "latin1"), bytes(header), bytes(Buffer.alloc(0)), bytes(payload)]);
  return verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, signature) ? "" : "bad_signature";
}

const wrong = [];
const count = {};
for (const vector of vectors.good) {
  const raw = hex(vector.envelope);
  const [[, , payload]] = read(raw, 1);
  const digest = createHash("sha256").update(raw).digest("hex");
  const same = payload.toString("hex") === vector.payload && digest === vector.sha256;
  const held = [...read(payload, 0)[0].keys()].join() === Object.keys(vector.fields).map((_, n) => n).join();
  if (judge(raw) !== "" || !same || !held) wrong.push(vector.name);
}
for (const vector of vectors.bad) {
  count[vector.code] = (count[vector.code] ?? 0) + 1;
  const expected = { schema: "", bad_signature: "bad_signature", unknown_key: "unknown_key" }[vector.code];
  if (expected !== undefined && judge(hex(vector.envelope)) !== expected) wrong.push(vector.name);
}
console.log(`node ${process.version}: ${vectors.good.length} good, ${JSON.stringify(count)}; not as they say:`, wrong);
process.exit(wrong.length ? 1 : 0);
