/** What a session needs of the connection to its agent: a part of what a WebSocket of `ws` is. */
export interface AgentSocket {
  readonly readyState: number;
  readonly OPEN: number;
  send(text: string, done: (error?: Error | null) => void): void;
  close(code: number, reason: string): void;
  terminate(): void;
  on(event: 'message', listener: (data: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'close', listener: () => void): unknown;
}
