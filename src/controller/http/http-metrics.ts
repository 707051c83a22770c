import type { ServerResponse } from 'node:http';
import { Gauge, Histogram, type Registry } from 'prom-client';

/** Metrics of the HTTP server itself. */
export class HttpMetrics {
  readonly #seconds: Histogram<'route' | 'status'>;
  readonly #streams: Gauge<'route'>;

  constructor(registry: Registry) {
    this.#seconds = new Histogram({
      name: 'pomona_http_request_seconds',
      help: 'Time from the head of a request to the end of its answer, streams left out',
      labelNames: ['route', 'status'],
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100],
      registers: [registry],
    });
    this.#streams = new Gauge({
      name: 'pomona_http_streams',
      help: 'Streams being answered now',
      labelNames: ['route'],
      registers: [registry],
    });
  }

  watchRequest(route: string, response: ServerResponse): void {
    const start = performance.now();
    response.once('close', () => {
      const labels = { route, status: String(response.statusCode) };
      this.#seconds.observe(labels, (performance.now() - start) / 1000);
    });
  }

  watchStream(route: string, response: ServerResponse): void {
    this.#streams.inc({ route });
    response.once('close', () => this.#streams.dec({ route }));
  }
}
