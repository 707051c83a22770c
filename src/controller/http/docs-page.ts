import { z } from 'zod';
import type { Route } from '../../protocol/api/route.ts';
import { API_PREFIX, ROUTES } from '../../protocol/api/routes.ts';
import { PROBLEMS } from '../../protocol/problem.ts';

/** The page's only style sheet; its hash is what the page's policy allows. */
export const DOCS_STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 0.9em ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; background: color-mix(in srgb, currentColor 7%, transparent); }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); margin-top: 2rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: 0.2rem 1rem 0.2rem 0; vertical-align: top; }
`;

/** A readable page of the HTTP API, made from its table. Without scripts and outside requests. */
export function docsPage(version: string): string {
  const routes = Object.values<Route>(ROUTES);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pomona API</title>
<style>${DOCS_STYLE}</style>
</head>
<body>
<h1>Pomona API <small>${escape(version)}</small></h1>
<p>Send an API token as <code>Authorization: Bearer TOKEN</code>. Times are milliseconds since 1970.
For programs there is <a href="${API_PREFIX}/openapi.json">the OpenAPI document</a>.</p>
<table>
<tr><th>Operation</th><th>Role</th><th></th></tr>
${routes.map(tableRow).join('\n')}
</table>
${routes.map(section).join('\n')}
<section id="problems">
<h2>Problems</h2>
<p>Errors are <code>application/problem+json</code> with a stable <code>code</code>.</p>
<table>
<tr><th>Code</th><th>Status</th><th>When</th></tr>
${Object.entries(PROBLEMS)
  .map(
    ([code, { status, when }]) =>
      `<tr><td><code>${code}</code></td><td>${status}</td><td>${escape(when)}</td></tr>`,
  )
  .join('\n')}
</table>
</section>
</body>
</html>
`;
}

function tableRow(route: Route): string {
  const name = `${route.method} ${API_PREFIX}${route.path}`;
  return `<tr><td><a href="#${route.id}"><code>${escape(name)}</code></a></td><td>${route.role}</td><td>${escape(route.summary)}</td></tr>`;
}

function section(route: Route): string {
  const problems = (route.problems ?? []).map((code) => `<code>${code}</code>`).join(', ');
  return [
    `<section id="${route.id}">`,
    `<h2>${escape(route.summary)}</h2>`,
    `<p><code>${route.method} ${escape(API_PREFIX + route.path)}</code>, role ${route.role}</p>`,
    route.description === undefined ? '' : `<p>${prose(route.description)}</p>`,
    shape('Query', route.query, 'input'),
    route.body === 'binary' ? '<p>Body: raw bytes.</p>' : shape('Body', route.body, 'input'),
    answer(route),
    problems === '' ? '' : `<p>Its own problems: ${problems}.</p>`,
    '</section>',
  ]
    .filter((line) => line !== '')
    .join('\n');
}

function answer(route: Route): string {
  if (route.response === undefined) return `<p>Answers ${route.status} without a body.</p>`;
  if (route.response === 'binary') return `<p>Answers ${route.status} with raw bytes.</p>`;
  const title = `Answer ${route.status}`;
  if (route.response !== 'events') return shape(title, route.response, 'output');
  return shape(`${title}: server-sent events with data`, route.eventData, 'output');
}

function shape(title: string, schema: z.ZodType | undefined, io: 'input' | 'output'): string {
  if (schema === undefined) return '';
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io });
  return `<details><summary>${escape(title)}</summary><pre>${escape(JSON.stringify(json, null, 2))}</pre></details>`;
}

/** Text in which backquotes mark code. */
function prose(text: string): string {
  return escape(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function escape(text: string): string {
  const signs: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return text.replaceAll(/[&<>"]/g, (sign) => signs[sign] ?? sign);
}
