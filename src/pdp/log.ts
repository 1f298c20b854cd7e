/** Where events for operators go; pino satisfies it. Fields never hold tokens, headers, bodies or secrets. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
