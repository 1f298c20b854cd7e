/** A value that is there, or will be. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Goes on with a value at once where it is there, and else when it is: a promise for each step of each check costs more than most of the
 * steps. What `next` throws is thrown, or rejects, as the value came.
 */
export function andThen<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
