/**
 * @module HTTP/1.1 to the agent over one unix socket connection. In place of `fetch`, because
 * loading that is a visible part of a plugin call. One request at a time.
 */

/** Nobody answers: no socket, connection refused, lost, or silent for too long. */
export class AgentDownError extends Error {
  constructor(reason: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause });
    this.name = 'AgentDownError';
  }
}

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Answers are endpoint lists at most. */
const answerBytesMax = 64 * 1024 * 1024;
const headBytesMax = 64 * 1024;
/** Between two attempts to connect. */
const retryMs = 50;

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

type Socket = Awaited<ReturnType<typeof Bun.connect>>;

/** A connection to the agent. */
export class AgentConnection implements Disposable {
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);
  #unsent: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  private constructor() {}

  /** Connects, trying again until the deadline has passed. Throws `AgentDownError`. */
  static async open(path: string, retryForMs: number): Promise<AgentConnection> {
    const deadline = performance.now() + retryForMs;
    for (;;) {
      const connection = new AgentConnection();
      try {
        await connection.#connect(path);
        return connection;
      } catch (cause) {
        if (performance.now() + retryMs > deadline) {
          const reason = cause instanceof Error ? cause.message : String(cause);
          throw new AgentDownError(`connect to agent at ${path}: ${reason}`, cause);
        }
        await Bun.sleep(retryMs);
      }
    }
  }

  async #connect(path: string): Promise<void> {
    this.#socket = await Bun.connect({
      unix: path,
      socket: {
        data: (_, chunk) => this.#take(chunk),
        drain: () => this.#flush(),
        close: () => this.#fail(new AgentDownError('the agent closed the connection')),
        error: (_, error) => this.#fail(new AgentDownError(error.message, error)),
      },
    });
  }

  /** Sends a request at once, without waiting for the event loop; the promise is the answer. */
  request(
    method: string,
    target: string,
    options: {
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: object;
      readonly timeoutMs: number;
    },
  ): Promise<Answer> {
    const body = options.body === undefined ? '' : JSON.stringify(options.body);
    const lines = [`${method} ${target} HTTP/1.1`, 'Host: localhost', 'Accept: application/json'];
    for (const [name, value] of Object.entries(options.headers ?? {}))
      lines.push(`${name}: ${value}`);
    if (body !== '') lines.push('Content-Type: application/json');
    lines.push(`Content-Length: ${Buffer.byteLength(body)}`, '', body);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          this.#fail(new AgentDownError(`no answer to ${method} within ${options.timeoutMs} ms`)),
        options.timeoutMs,
      );
      this.#waiting = {
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      if (this.#socket === undefined) {
        this.#fail(new AgentDownError('the connection is closed'));
        return;
      }
      this.#unsent = Buffer.from(lines.join('\r\n'));
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#unsent.length === 0) return;
    const sent = this.#socket?.write(this.#unsent) ?? 0;
    this.#unsent = this.#unsent.subarray(Math.max(0, sent));
  }

  #take(chunk: Uint8Array): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    try {
      const parsed = parseAnswer(this.#received);
      if (parsed === undefined) return;
      this.#received = this.#received.subarray(parsed.length);
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.resolve(parsed.answer);
    } catch (cause) {
      this.#fail(new AgentDownError(`read the agent's answer: ${String(cause)}`, cause));
    }
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this[Symbol.dispose]();
    waiting?.reject(error);
  }

  [Symbol.dispose](): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.end();
  }
}

/**
 * One answer from the front of the bytes and how many it takes; `undefined` if more is to come.
 * Throws on what is no HTTP answer.
 */
export function parseAnswer(
  bytes: Buffer,
): { readonly answer: Answer; readonly length: number } | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) {
    if (bytes.length > headBytesMax) throw new RangeError('the head does not end');
    return undefined;
  }
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] ([1-5][0-9]{2})( |$)/.exec(first)?.[1]);
  if (Number.isNaN(status)) throw new RangeError(`not an HTTP answer: ${first.slice(0, 80)}`);
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const start = end + 4;
  // Informational answers come before the real one.
  if (status < 200) {
    const rest = parseAnswer(bytes.subarray(start));
    return rest && { answer: rest.answer, length: rest.length + start };
  }
  const body = headers.get('transfer-encoding')?.toLowerCase().includes('chunked')
    ? chunkedBody(bytes, start)
    : sizedBody(bytes, start, headers.get('content-length') ?? '0');
  return body && { answer: { status, body: body.text }, length: body.end };
}

interface Body {
  readonly text: string;
  readonly end: number;
}

function sizedBody(bytes: Buffer, start: number, length: string): Body | undefined {
  const size = /^[0-9]{1,9}$/.test(length) ? Number(length) : Number.POSITIVE_INFINITY;
  if (size > answerBytesMax) throw new RangeError(`a body of ${length} bytes`);
  const end = start + size;
  return bytes.length < end ? undefined : { text: bytes.toString('utf8', start, end), end };
}

/** RFC 9112 section 7.1, without trailers. */
function chunkedBody(bytes: Buffer, start: number): Body | undefined {
  const chunks: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (!(size >= 0) || lineEnd + size > start + answerBytesMax)
      throw new RangeError('a bad chunk');
    const end = lineEnd + 2 + size;
    if (bytes.length < end + 2) return undefined;
    if (size === 0) return { text: Buffer.concat(chunks).toString('utf8'), end: end + 2 };
    chunks.push(bytes.subarray(lineEnd + 2, end));
    at = end + 2;
  }
}
