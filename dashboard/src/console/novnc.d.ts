declare module '@novnc/novnc' {
  /** RFB over a WebSocket; its own documentation: docs/API.md of noVNC. */
  export default class Rfb extends EventTarget {
    constructor(target: HTMLElement, channel: WebSocket | string);
    scaleViewport: boolean;
    resizeSession: boolean;
    disconnect(): void;
  }
}
