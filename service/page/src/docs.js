// What the service can be asked, from its OpenAPI document; beside Swagger UI, which the page loads before.
import { TOKEN } from "./service.js";

window.SwaggerUIBundle({
  url: "v1/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null, // would be someone else's
  requestInterceptor: (request) => {
    const token = sessionStorage.getItem(TOKEN);
    if (token) request.headers.authorization = `Bearer ${token}`;
    return request;
  },
});
