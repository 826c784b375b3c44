/* Asks for /healthz without a token and without looking at the certificate: whoever answers in HTTP
 * is enough. */
#include "cli/probe.h"

#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include <runnel/error.h>

enum { TIMEOUT_MS = 2000, URL_BYTES = 8192 };

static size_t drop(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * count;
}

static CURLcode ask(CURL *curl, const char *url)
{
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, url);

    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
    return code == CURLE_OK ? curl_easy_perform(curl) : code;
}

bool probe_other_scheme(const char *url)
{
    RN_ASSERT(url != NULL);
    bool is_https = strncmp(url, "https://", 8) == 0;
    bool is_http = strncmp(url, "http://", 7) == 0;
    char other[URL_BYTES];

    if (!is_https && !is_http)
        return false;
    int length = snprintf(other, sizeof(other), "%s://%s/healthz", is_https ? "http" : "https",
                          strstr(url, "://") + 3);
    if (length < 0 || (size_t)length >= sizeof(other))
        return false;
    CURL *curl = curl_easy_init();
    bool is_spoken = curl != NULL && ask(curl, other) == CURLE_OK;
    curl_easy_cleanup(curl);
    return is_spoken;
}
