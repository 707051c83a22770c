/** Addresses of the fleet's controllers, any of which will do: the next is taken when one fails. */
export class Controllers {
  readonly #urls: readonly string[];
  #index = 0;

  /** @param urls one or more, with commas between them */
  constructor(urls: string) {
    this.#urls = controllerUrls(urls);
  }

  get all(): readonly string[] {
    return this.#urls;
  }

  /** The one that is used now. */
  get current(): string {
    return this.#urls[this.#index] ?? '';
  }

  /** It did not answer. Another may have said so already. */
  failed(url: string): void {
    if (url === this.current) this.#index = (this.#index + 1) % this.#urls.length;
  }
}

export function controllerUrls(text: string): string[] {
  return text.split(',').map((url) => url.trim());
}
