import { once } from 'node:events';
import { type Socket, connect } from 'node:net';

/** A unary gRPC request as HTTP/2 frames, ready to send: only the stream ids are missing. */
export interface RequestFrames {
  /** A HEADERS frame and a DATA frame with stream id 0. */
  readonly bytes: Buffer;
  /** Where the DATA frame begins. */
  readonly dataAt: number;
  /** Payload of the DATA frame: what flow control counts. */
  readonly dataBytes: number;
}

const HEADERS = 1;
const DATA = 0;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const END_STREAM = 0x1;
const ACK = 0x1;
/** An identifier of SETTINGS (RFC 9113 §6.5.2). */
const MAX_CONCURRENT_STREAMS = 3;
const END_HEADERS = 0x4;
const FRAME_HEAD = 9;

/** RFC 9113 §4.1. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK literal without indexing (RFC 7541 §6.2.2), no Huffman; name as text. */
function literal(name: string, value: string): Buffer {
  const text = [name, value].map((part) => Buffer.concat([Buffer.from([part.length]), Buffer.from(part)]));
  return Buffer.concat([Buffer.from([0]), ...text]);
}

/** Frames of one call of `path` with `message`: a gRPC call, or a POST of JSON over HTTP/2. */
export function requestFrames(path: string, message: Buffer, kind: 'grpc' | 'json' = 'grpc'): RequestFrames {
  const indexed = Buffer.from([0x83, 0x86]); // :method POST, :scheme http
  const fields = [
    literal(':path', path),
    literal(':authority', 'pdp'),
    literal('content-type', `application/${kind}`),
    literal('te', 'trailers'),
  ];
  const headers = frame(HEADERS, END_HEADERS, 0, Buffer.concat([indexed, ...fields]));
  const prefix = Buffer.alloc(kind === 'grpc' ? 5 : 0);
  if (kind === 'grpc') prefix.writeUInt32BE(message.length, 1);
  const data = frame(DATA, END_STREAM, 0, Buffer.concat([prefix, message]));
  return {
    bytes: Buffer.concat([headers, data]),
    dataAt: headers.length,
    dataBytes: message.length + prefix.length,
  };
}

/** Reads the code out of a DATA frame's payload: 0 for allowed, more for denied; `undefined` where it does not say. */
export type ReadCode = (data: Buffer) => number | undefined;

/** A CheckResponse begins with its `status`: field 1, a message whose field 1 is the code, left out when it is 0 (OK). */
export function extAuthzCode(data: Buffer): number | undefined {
  if (data.length < 7 || data[5] !== 0x0a) return undefined;
  return (data[6] ?? 0) > 0 && data[7] === 0x08 ? (data[8] ?? -1) : 0;
}

/** Told of each finished call: when it was due, and the code of the answer (-1: no answer). */
export type OnAnswer = (dueAt: number, code: number) => void;

/** Calls under way on one connection at most; more than any scenario has. */
const RING = 1 << 16;
const WINDOW = 0x7fffffff - 65_535;
/** Calls sent after which the list of those that wait is shortened. */
const TIDY = 1024;
/** In place of when a call was due: nobody waits for it any more. */
const FORGOTTEN = Number.NEGATIVE_INFINITY;

/**
 * One HTTP/2 connection that does nothing but unary calls, so that the generator costs a few microseconds a call and not more
 * than the servers it measures. It never decodes header blocks: the answer's DATA says how the call went.
 */
export class H2Connection implements Disposable {
  readonly #socket: Socket;
  readonly #readCode: ReadCode;
  readonly #dueAt = new Float64Array(RING).fill(Number.NaN);
  readonly #code = new Int8Array(RING);
  #onAnswer: OnAnswer = () => undefined;
  #stream = 1;
  #sendWindow = 65_535;
  #received = 0;
  #rest: Buffer = Buffer.alloc(0);
  #out: Buffer[] = [];
  readonly #waiting: (readonly [RequestFrames, number])[] = [];
  /** Of `#waiting`, those that were sent: taking them off the front one by one would cost as much as all that wait. */
  #gone = 0;
  /** Calls that the server lets be open at once; until it has said so, fewer than any server refuses (RFC 9113 §6.5.2). */
  #maxStreams = 100;
  #open = 0;
  inFlight = 0;
  /** The last answer's message; kept for looking at, not for measuring. */
  lastMessage: Buffer = Buffer.alloc(0);

  /** Connects to 127.0.0.1. */
  static async connect(port: number, readCode: ReadCode = extAuthzCode): Promise<H2Connection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new H2Connection(socket, readCode);
  }

  private constructor(socket: Socket, readCode: ReadCode) {
    this.#socket = socket;
    this.#readCode = readCode;
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', (error) => this.#lost(error.message));
    socket.on('close', () => this.#lost('it was closed'));
    const settings = Buffer.alloc(12);
    settings.writeUInt16BE(1, 0); // SETTINGS_HEADER_TABLE_SIZE = 0
    settings.writeUInt16BE(4, 6); // SETTINGS_INITIAL_WINDOW_SIZE
    settings.writeUInt32BE(0x7fffffff, 8);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(frame(SETTINGS, 0, 0, settings));
    socket.write(windowUpdate(WINDOW));
  }

  /** Who is told of answers from now on. */
  set onAnswer(listener: OnAnswer) {
    this.#onAnswer = listener;
  }

  /** Sends a call with the next {@link flush}, or as soon as the server's window lets it. */
  send(request: RequestFrames, dueAt: number): void {
    this.inFlight += 1;
    if (this.#waiting.length > 0 || !this.#hasRoom(request)) this.#waiting.push([request, dueAt]);
    else this.#put(request, dueAt);
  }

  /** Hands what was sent to the kernel in one write. */
  flush(): void {
    if (this.#out.length === 0) return;
    this.#socket.write(this.#out.length === 1 ? (this.#out[0] ?? '') : Buffer.concat(this.#out));
    this.#out = [];
  }

  /** When the calls were due that have no answer yet. Nobody is told of these any more. */
  forget(): number[] {
    const due = this.#waiting
      .splice(0)
      .slice(this.#gone)
      .map(([, dueAt]) => dueAt);
    this.#gone = 0;
    for (const [slot, dueAt] of this.#dueAt.entries()) {
      if (Number.isNaN(dueAt) || dueAt === FORGOTTEN) continue;
      due.push(dueAt);
      this.#dueAt[slot] = FORGOTTEN;
    }
    this.inFlight = 0;
    return due;
  }

  [Symbol.dispose](): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }

  #hasRoom({ dataBytes }: RequestFrames): boolean {
    return this.#sendWindow >= dataBytes && this.#open < this.#maxStreams;
  }

  #put({ bytes, dataAt, dataBytes }: RequestFrames, dueAt: number): void {
    const copy = Buffer.allocUnsafe(bytes.length);
    bytes.copy(copy);
    copy.writeUInt32BE(this.#stream, 5);
    copy.writeUInt32BE(this.#stream, dataAt + 5);
    const slot = (this.#stream >>> 1) % RING;
    this.#dueAt[slot] = dueAt;
    this.#code[slot] = -1;
    this.#stream += 2;
    this.#open += 1;
    this.#sendWindow -= dataBytes;
    this.#out.push(copy);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= FRAME_HEAD) {
      const length = bytes.readUIntBE(at, 3);
      const end = at + FRAME_HEAD + length;
      if (end > bytes.length) break;
      this.#frame(bytes, at, length);
      at = end;
    }
    this.#rest = bytes.subarray(at);
    this.#sendWaiting();
    if (this.#received > 1 << 20) {
      this.#out.push(windowUpdate(this.#received));
      this.#received = 0;
    }
    this.flush();
  }

  #frame(bytes: Buffer, at: number, length: number): void {
    const type = bytes[at + 3];
    const flags = bytes[at + 4] ?? 0;
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    const payload = at + FRAME_HEAD;
    if (type === DATA) this.#answer(bytes.subarray(payload, payload + length), stream);
    if ((type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0) this.#end(stream);
    else if (type === RST_STREAM) this.#end(stream);
    else if (type === SETTINGS && (flags & ACK) === 0)
      this.#settings(bytes.subarray(payload, payload + length));
    else if (type === PING && (flags & ACK) === 0) {
      this.#out.push(frame(PING, ACK, 0, Buffer.from(bytes.subarray(payload, payload + 8))));
    } else if (type === WINDOW_UPDATE && stream === 0) this.#opened(bytes.readUInt32BE(payload));
    else if (type === GOAWAY)
      this.#socket.destroy(new Error(`GOAWAY with code ${bytes.readUInt32BE(payload + 4)}`));
  }

  #answer(data: Buffer, stream: number): void {
    this.#received += data.length;
    const code = this.#readCode(data);
    if (code === undefined) return;
    this.#code[(stream >>> 1) % RING] = code;
    this.lastMessage = data.subarray(5);
  }

  #end(stream: number): void {
    const slot = (stream >>> 1) % RING;
    const dueAt = this.#dueAt[slot] ?? 0;
    // A call that is ended early is reset as well.
    if (Number.isNaN(dueAt)) return;
    this.#dueAt[slot] = Number.NaN;
    this.#open -= 1;
    if (dueAt === FORGOTTEN) return;
    this.inFlight -= 1;
    this.#onAnswer(dueAt, this.#code[slot] ?? -1);
  }

  #opened(bytes: number): void {
    this.#sendWindow += bytes;
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    for (let next = this.#waiting[this.#gone]; next; next = this.#waiting[this.#gone]) {
      if (!this.#hasRoom(next[0])) break;
      this.#put(...next);
      this.#gone += 1;
    }
    if (this.#gone < this.#waiting.length && this.#gone < TIDY) return;
    this.#waiting.splice(0, this.#gone);
    this.#gone = 0;
  }

  #settings(payload: Buffer): void {
    this.#maxStreams = Number.POSITIVE_INFINITY;
    for (let at = 0; at + 6 <= payload.length; at += 6)
      if (payload.readUInt16BE(at) === MAX_CONCURRENT_STREAMS)
        this.#maxStreams = payload.readUInt32BE(at + 2);
    this.#out.push(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
  }

  /** Says so: calls that fail because their connection is gone are otherwise a riddle. */
  #lost(why: string): void {
    if (this.inFlight > 0)
      process.stderr.write(`a connection with ${this.inFlight} calls under way is lost: ${why}\n`);
    for (; this.inFlight > 0; this.inFlight--) this.#onAnswer(0, -1);
  }
}

function windowUpdate(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(WINDOW_UPDATE, 0, 0, payload);
}
