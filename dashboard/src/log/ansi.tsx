import Anser from 'anser';
import type { CSSProperties, ReactNode } from 'react';
import type { LogLine } from './log-lines.ts';

/** A line with its colours, and with what is searched for marked. */
export function lineParts(line: LogLine, wanted: string): ReactNode {
  const text = line.style + line.text;
  if (!text.includes('\x1b')) return marked(text, wanted, 't');
  return Anser.ansiToJson(text, { json: true, remove_empty: true }).map((part, index) => {
    const { content, fg, bg, decorations } = part;
    const classes = decorations.map((each) => `ansi-${each}`).join(' ');
    const inner = marked(content, wanted, String(index));
    if (!fg && !bg && classes === '') return inner;
    return (
      <span key={index} className={classes} style={styleOf(fg, bg)}>
        {inner}
      </span>
    );
  });
}

/** How light a colour seems, from 0 to 1. */
function lightness(rgb: string): number {
  const [r = 0, g = 0, b = 0] = rgb.split(',').map(Number);
  return (0.299 * r + 0.587 * g + 0.114 * b) / 255;
}

const LIGHT_ENOUGH = 0.66;

/** Dark colours are made for light paper: they are lifted until they can be read here. */
function readable(rgb: string): string {
  const light = lightness(rgb);
  const more = Math.max(0, (LIGHT_ENOUGH - light) / (1 - light));
  const parts = rgb
    .split(',')
    .map((part) => Math.round(Number(part) + (255 - Number(part)) * more));
  return `rgb(${parts.join(' ')})`;
}

/** What a program colours: on a ground of its own, text is black or white, whichever can be read. */
function styleOf(fg: string | null, bg: string | null): CSSProperties {
  if (bg) return { backgroundColor: `rgb(${bg})`, color: lightness(bg) > 0.45 ? '#000' : '#fff' };
  return fg ? { color: readable(fg) } : {};
}

function marked(text: string, wanted: string, key: string): ReactNode {
  if (wanted === '') return text;
  const parts: ReactNode[] = [];
  const low = text.toLowerCase();
  const word = wanted.toLowerCase();
  let from = 0;
  for (let at = low.indexOf(word); at >= 0; at = low.indexOf(word, from)) {
    parts.push(
      text.slice(from, at),
      <mark key={`${key} ${at}`}>{text.slice(at, at + word.length)}</mark>,
    );
    from = at + word.length;
  }
  return from === 0 ? text : [...parts, text.slice(from)];
}
