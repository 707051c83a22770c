import Anser from 'anser';
import type { ReactNode } from 'react';
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
      <span
        key={index}
        className={classes}
        style={{
          ...(fg ? { color: readable(fg) } : {}),
          ...(bg ? { backgroundColor: `rgb(${bg})` } : {}),
        }}
      >
        {inner}
      </span>
    );
  });
}

/** Dark colours are made for light paper: they are lifted until they can be read here. */
function readable(rgb: string): string {
  const [r = 0, g = 0, b = 0] = rgb.split(',').map(Number);
  const light = (0.299 * r + 0.587 * g + 0.114 * b) / 255;
  if (light > 0.5) return `rgb(${r} ${g} ${b})`;
  return `color-mix(in srgb, rgb(${r} ${g} ${b}), white ${Math.round((0.62 - light) * 100)}%)`;
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
