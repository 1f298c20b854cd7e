import { type Context, context, trace } from '@opentelemetry/api';

interface Waiting<In, Out> {
  readonly item: In;
  /** Of OpenTelemetry, where it was asked. */
  readonly within: Context;
  readonly resolve: (out: Out) => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers what is asked for in one turn of the event loop and within one trace, and asks for it together. */
export class Batcher<In, Out> {
  readonly #ask: (items: readonly In[]) => Promise<readonly Out[]>;
  readonly #maxItems: number;
  #waiting: Waiting<In, Out>[] = [];

  /** `ask` answers as many items as it is given, in their order; `maxItems` at once. */
  constructor(ask: (items: readonly In[]) => Promise<readonly Out[]>, maxItems: number) {
    this.#ask = ask;
    this.#maxItems = maxItems;
  }

  /** Asks with whatever else is asked for in this turn. */
  add(item: In): Promise<Out> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ item, within: context.active(), resolve, reject });
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    // A call is of one trace: that of another request must not be in the records of this one.
    const traces = Map.groupBy(waiting, ({ within }) => trace.getSpanContext(within)?.traceId);
    for (const all of traces.values())
      for (let at = 0; at < all.length; at += this.#maxItems)
        void this.#askTogether(all.slice(at, at + this.#maxItems));
  }

  async #askTogether(part: readonly Waiting<In, Out>[]): Promise<void> {
    try {
      const within = part[0]?.within ?? context.active();
      const answers = await context.with(within, () => this.#ask(part.map(({ item }) => item)));
      for (const [index, { resolve, reject }] of part.entries()) {
        if (index < answers.length) resolve(answers[index] as Out);
        else reject(new Error('an item has no answer'));
      }
    } catch (error) {
      for (const { reject } of part) reject(error);
    }
  }
}
