import type { Configuration, IDToken, UserInfoResponse } from 'openid-client';
import { deleteSignInsBefore, insertSignIn, takeSignIn } from '../../db/queries/web-sessions.ts';
import { roleAllows } from '../../protocol/api/route.ts';
import type { Role } from '../../protocol/api/resources.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Context } from '../context.ts';
import type { Secrets } from '../secrets.ts';

/** How people sign in by an identity provider (OpenID Connect). */
export interface OpenIdOptions {
  readonly issuer: string;
  readonly clientId: string;
  /** Name of the fleet's secret with the client's; absent: a public client, PKCE alone. */
  readonly clientSecret?: string;
  readonly scopes: readonly string[];
  /** Who has which role: the best one that applies. */
  readonly roles: readonly {
    readonly claim: string;
    readonly value: string;
    readonly role: Role;
  }[];
  /** Of those to whom none applies; absent: they may not sign in. */
  readonly otherwise?: Role;
}

const WAY_MS = 600_000;
const SEALED_FOR = 'sign-in';

interface Way {
  readonly verifier: string;
  readonly nonce: string;
  readonly returnTo: string;
}

/** Signs people in by the authorization code flow with PKCE, state and nonce. */
export class OpenId {
  readonly #context: Context;
  readonly #secrets: Secrets;
  readonly #options: OpenIdOptions;
  readonly #redirectUri: string;
  #discovered: Promise<Configuration> | undefined;

  /** `url`: where people open the page. */
  constructor(context: Context, secrets: Secrets, options: OpenIdOptions, url: string) {
    this.#context = context;
    this.#secrets = secrets;
    this.#options = options;
    this.#redirectUri = new URL('/web/openid/callback', url).href;
  }

  get issuer(): string {
    return this.#options.issuer;
  }

  /** Where to send the browser, and the state that it has to come back with. */
  async begin(returnTo: string): Promise<{ location: string; state: string }> {
    const client = await import('openid-client');
    const configuration = await this.#configuration();
    const now = this.#context.clock.now();
    const state = client.randomState();
    const way: Way = {
      ...{ verifier: client.randomPKCECodeVerifier(), nonce: client.randomNonce(), returnTo },
    };
    await deleteSignInsBefore(this.#context.db, now);
    await insertSignIn(this.#context.db, {
      ...{ state, expiresAt: now + WAY_MS },
      sealed: this.#secrets.seal(JSON.stringify(way), SEALED_FOR),
    });
    const location = client.buildAuthorizationUrl(configuration, {
      ...{ redirect_uri: this.#redirectUri, scope: this.#options.scopes.join(' ') },
      ...{ state, nonce: way.nonce, code_challenge_method: 'S256' },
      code_challenge: await client.calculatePKCECodeChallenge(way.verifier),
    });
    return { location: location.href, state };
  }

  /**
   * Who came back, and where they were. `query`: of the address that the provider sent them to;
   * `state`: what this browser was given. Throws ProblemError.
   */
  async end(
    query: URLSearchParams,
    state: string | undefined,
  ): Promise<{ name: string; role: Role; returnTo: string }> {
    const client = await import('openid-client');
    const sealed =
      state === undefined || query.get('state') !== state
        ? undefined
        : await takeSignIn(this.#context.db, state, this.#context.clock.now());
    if (state === undefined || sealed === undefined) {
      throw new ProblemError(
        'unauthenticated',
        'this way to sign in was not begun in this browser, or took too long; sign in again',
      );
    }
    const way = JSON.parse(this.#secrets.open(sealed, SEALED_FOR)) as Way;
    const configuration = await this.#configuration();
    const address = new URL(this.#redirectUri);
    address.search = query.toString();
    try {
      const tokens = await client.authorizationCodeGrant(configuration, address, {
        ...{ pkceCodeVerifier: way.verifier, expectedNonce: way.nonce, expectedState: state },
        idTokenExpected: true,
      });
      const idToken = tokens.claims();
      if (idToken === undefined) throw new Error('it gave no ID token');
      const more =
        configuration.serverMetadata().userinfo_endpoint === undefined
          ? {}
          : await client.fetchUserInfo(configuration, tokens.access_token, idToken.sub);
      return { ...this.#personOf({ ...more, ...idToken }), returnTo: way.returnTo };
    } catch (error) {
      if (error instanceof ProblemError) throw error;
      // Its keys, or our secret, may be others by now.
      this.#discovered = undefined;
      this.#context.log.log('warn', 'a sign-in failed', { issuer: this.issuer, error });
      throw new ProblemError(
        'unauthenticated',
        `${this.issuer} did not sign you in: ${(error as Error).message}; try again, or sign in with a token`,
      );
    }
  }

  #personOf(claims: IDToken & Partial<UserInfoResponse>): { name: string; role: Role } {
    const said = claims['email'] ?? claims['preferred_username'] ?? claims.sub;
    const name = String(said).slice(0, 128);
    const held = this.#options.roles
      .filter(({ claim, value }) => hasValue(claims[claim], value))
      .map(({ role }) => role);
    const role = held.reduce<Role | undefined>(
      (best, each) => (best !== undefined && roleAllows(best, each) ? best : each),
      this.#options.otherwise,
    );
    if (role !== undefined) return { name, role };
    throw new ProblemError(
      'forbidden',
      `${name} has no role here; ask an administrator to add one to dashboard.signIn.roles in pomona.yaml`,
    );
  }

  /** Found out at the first sign-in, and again after a failure. */
  #configuration(): Promise<Configuration> {
    this.#discovered ??= this.#discover().catch((error: unknown) => {
      this.#discovered = undefined;
      this.#context.log.log('warn', 'an identity provider does not answer', { error });
      throw new ProblemError(
        'not_ready',
        `${this.issuer} does not answer: ${(error as Error).message}; try again, or sign in with a token`,
      );
    });
    return this.#discovered;
  }

  async #discover(): Promise<Configuration> {
    const client = await import('openid-client');
    const { clientSecret, clientId } = this.#options;
    const secret =
      clientSecret === undefined
        ? undefined
        : (await this.#secrets.valuesOf([clientSecret]))[clientSecret];
    if (clientSecret !== undefined && secret === undefined) {
      throw new Error(`the secret ${clientSecret} is not set (\`pomona secret set\`)`);
    }
    const issuer = new URL(this.issuer);
    // Plain HTTP is for a provider on this machine alone.
    const isLocal = ['127.0.0.1', 'localhost', '[::1]'].includes(issuer.hostname);
    return client.discovery(
      ...([issuer, clientId, undefined] as const),
      secret === undefined ? client.None() : client.ClientSecretPost(secret),
      issuer.protocol === 'http:' && isLocal ? { execute: [client.allowInsecureRequests] } : {},
    );
  }
}

/** A claim is text, or a list of texts such as groups. */
function hasValue(claim: unknown, value: string): boolean {
  return Array.isArray(claim) ? claim.includes(value) : claim === value;
}
