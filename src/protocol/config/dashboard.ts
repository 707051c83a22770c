import { z } from 'zod';
import { TOKEN_ROLES } from '../api/resources.ts';
import { envNameSchema, labelSchema } from '../values.ts';

/** What the configuration says of the web page, and of what hosts cost. */

const role = z.enum(TOKEN_ROLES);

const signInSchema = z.strictObject({
  issuer: z
    .url({ protocol: /^https?$/ })
    .describe('OpenID Connect provider, such as https://login.example.org/realms/acme'),
  clientId: z.string().min(1).describe('What the provider calls this controller'),
  clientSecret: envNameSchema
    .exactOptional()
    .describe('Secret (`pomona secret set`) with the client secret; default: a public client'),
  scopes: z
    .array(z.string().min(1))
    .min(1)
    .default(['openid', 'profile', 'email'])
    .describe('What is asked for; default: openid, profile, email'),
  roles: z
    .array(
      z.strictObject({
        claim: z.string().min(1).describe('Claim that is looked at, such as groups'),
        value: z.string().min(1).describe('What it has to be, or to hold'),
        role: role.describe('What they may do'),
      }),
    )
    .default([])
    .describe('Who may do what: the best role that applies counts'),
  otherwise: role
    .exactOptional()
    .describe('Role of those to whom none applies; default: they may not sign in'),
});

export const dashboardConfigSchema = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/ })
      .exactOptional()
      .describe('Where people open it; with https, cookies are sent over TLS alone'),
    signIn: signInSchema.exactOptional().describe('Sign-in by OpenID Connect, beside tokens'),
  })
  .refine(({ url, signIn }) => signIn === undefined || url !== undefined, {
    path: ['url'],
    message: 'expected, since `signIn` is there: the provider sends people back to it',
  });

export const pricesConfigSchema = z.strictObject({
  currency: z.string().min(1).max(8).default('USD').describe('Such as EUR; default: USD'),
  hosts: z
    .array(
      z.strictObject({
        labels: z
          .array(labelSchema)
          .default([])
          .describe('Hosts that it is for: those with all of these labels; default: all'),
        perHour: z.number().min(0).describe('What such a host costs an hour'),
      }),
    )
    .min(1)
    .describe('The first that fits a host counts'),
});
