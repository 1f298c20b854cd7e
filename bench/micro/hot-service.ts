import { type RequestMaker, requestMaker } from '../load/requests.ts';
import { openBenchService } from './service.ts';

/** What is asked again and again. */
export const QUESTIONS = {
  /** A user reads a report: token, workload, device, two information points. */
  hot: (maker: RequestMaker) => maker.report('alice'),
  /** One workload calls another. */
  mesh: (maker: RequestMaker) => maker.meshCall(),
} as const;

/** A server without its transport, for one question. */
export interface HotService extends AsyncDisposable {
  /** Asks the question once more. */
  ask(): Promise<Buffer>;
}

/** Opens it for one question. */
export async function openHotService(question: keyof typeof QUESTIONS): Promise<HotService> {
  const maker = requestMaker();
  const service = await openBenchService({ jwks: maker.jwks, users: ['alice'] });
  const request = QUESTIONS[question](maker);
  return {
    ask: () => service.ask(request),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

/** Asks `count` times, as many at once as come in one turn of the event loop under load. */
export async function askOften({ ask }: Pick<HotService, 'ask'>, count: number): Promise<void> {
  const AT_ONCE = 50;
  for (let asked = 0; asked < count; asked += AT_ONCE)
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
}

/**
 * Bytes that an answer allocates on the heap: the median of some rounds, each too short for the collector to run in it. `collect` collects
 * the garbage.
 */
export async function bytesPerAnswer(service: HotService, collect: () => void): Promise<number> {
  const ROUNDS = 9;
  const ANSWERS = 200;
  await askOften(service, 5000);
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    collect();
    const before = process.memoryUsage().heapUsed;
    await askOften(service, ANSWERS);
    rounds.push((process.memoryUsage().heapUsed - before) / ANSWERS);
  }
  return rounds.sort((a, b) => a - b)[(ROUNDS - 1) / 2] ?? 0;
}
