import type { OpenApiDocument } from '../../protocol/api/openapi.ts';

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;background:#8881;padding:.75rem}
summary{cursor:pointer}section{border-top:1px solid #8884;padding:.5rem 0}`;

/** The API as a page to read: no scripts, nothing from elsewhere. */
export function apiPage(document: OpenApiDocument): string {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const { summary, description = '', ...rest } = operation;
      return `<section id="${escape(operation.operationId)}"><h3><code>${method.toUpperCase()} ${escape(path)}</code></h3>
<p>${escape(summary)}. ${escape(description)}</p>
<details><summary>Parameters, body and answers</summary><pre>${escape(JSON.stringify(rest, undefined, 2))}</pre></details></section>`;
    }),
  );
  const schemas = Object.entries(document.components.schemas).map(
    ([name, schema]) =>
      `<details id="${escape(name)}"><summary><code>${escape(name)}</code></summary><pre>${escape(JSON.stringify(schema, undefined, 2))}</pre></details>`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Pomona API</title><style>${STYLE}</style><h1>Pomona API ${escape(document.info.version)}</h1>
<p>${escape(document.info.description)}</p><h2>Operations</h2>${operations.join('')}<h2>Schemas</h2>${schemas.join('')}</html>`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
