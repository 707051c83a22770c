import type { FastifyReply } from 'fastify';
import { ProblemError } from '../../protocol/problem.ts';
import { readBody } from './body.ts';
import type { ServerLimits, ServerOptions } from './ports.ts';
import { sendJson } from './respond.ts';
import { sendFile } from './streams/send-file.ts';
import { sendStream } from './streams/stream-writer.ts';

/** Sends an artifact of the job's last hand-over, or 304 when the client has it. */
export async function sendArtifact(
  reply: FastifyReply,
  options: Pick<ServerOptions, 'jobs' | 'artifacts'>,
  limits: ServerLimits,
  { jobId, path }: { readonly jobId: string; readonly path: string },
): Promise<void> {
  const artifact = await options.jobs.findArtifact(jobId, path);
  const missing = `job ${jobId} has no artifact ${JSON.stringify(path)}; \`pomona job show\` lists them`;
  if (artifact === undefined) throw new ProblemError('not_found', missing);
  const etag = `"${artifact.sha256}"`;
  if (reply.request.headers['if-none-match'] === etag) {
    reply.code(304).header('etag', etag).send();
    return;
  }
  const file = await options.artifacts.open(jobId, artifact.epoch, artifact.sha256);
  if (file === undefined) throw new ProblemError('not_found', missing);
  const headers = { etag, 'content-disposition': attachment(path) };
  await sendFile(reply, file, headers, limits.stallMs);
}

/** Sends what a shell showed. */
export async function sendRecording(
  reply: FastifyReply,
  { consoles }: Pick<ServerOptions, 'consoles'>,
  limits: ServerLimits,
  id: string,
): Promise<void> {
  const lines = await consoles.recording(id);
  const headers = {
    'content-type': 'application/x-asciicast',
    'content-disposition': attachment(`${id}.cast`),
  };
  await sendStream(reply, headers, limits.stallMs, async (writer) => {
    for await (const line of lines) await writer.write(line);
  });
}

/** Takes in a source. One that is there is not stored again, whatever is sent. */
export async function receiveSource(
  reply: FastifyReply,
  { sources }: Pick<ServerOptions, 'sources'>,
  limits: ServerLimits,
  digest: string,
): Promise<void> {
  const body = readBody(reply.request.raw, sources.limitBytes, limits.stallMs);
  const known = await sources.touch(digest);
  if (known !== undefined) {
    for await (const piece of body) void piece;
    sendJson(reply, 201, { digest, size: known });
    return;
  }
  const { size } = await sources.put(digest, body);
  sendJson(reply, 201, { digest, size });
}

/** A header value that makes a browser save the file, under the last part of its path. */
function attachment(path: string): string {
  const name = path.split('/').at(-1) ?? '';
  const plain = name.replaceAll(/[^A-Za-z0-9 ._+-]/g, '_');
  const exact = encodeURIComponent(name.toWellFormed()).replaceAll(
    /['()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${exact}`;
}
